# A list of intended differences, one file a script (or tool):
#	script NAME...
#	why REASON
#	< what postscreen says
#	> what Gatehouse says
/^#/ || /^$/ { next }
/^script / { count = split($0, names, " "); why = 0; next }
/^why[ \t]/ { why = 1; next }
/^[<>] / {
	if (!why || count < 2) { print FILENAME ":" FNR ": a difference needs a script and a reason" > "/dev/stderr"; bad = 1 }
	for (i = 2; i <= count; i++) print > (folder "/" names[i])
	next
}
/^\t/ { next } # more of the reason
{ print FILENAME ":" FNR ": not understood" > "/dev/stderr"; bad = 1 }
END { exit bad }
