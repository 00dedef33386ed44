# A report as lines that can be compared: each under the heading it stands under, the hours and days of a
# table added up, and what is time made T. Sort the result: ties come in any order.
function flush_rows(   i, line)
{
	if (rows == 0)
		return
	line = heading " | every hour or day"
	for (i = 1; i <= columns; i++)
		line = line " " sum[i]
	print line
	split("", sum)
	rows = columns = 0
}
{ gsub(/[0-9]+:[0-9][0-9]:[0-9][0-9]/, "T"); gsub(/ [0-9.]+ ?s( |$)/, " T "); gsub(/[ \t]+/, " ") }
/^[ *=-]*[=*-][=*-][=*-][ *=-]*$/ { flush_rows(); if (last ~ /^[A-Za-z]/) heading = last; next }
/ -----*$/ { sub(/ -*$/, ""); heading = $0; sub(/^ *[0-9]+ +/, "", heading) }
/^ ?([0-9][0-9]00-[0-9][0-9]00|[A-Z][a-z][a-z] [0-9]+ [0-9][0-9][0-9][0-9]) / {
	sub(/^ ?([0-9][0-9]00-[0-9][0-9]00|[A-Z][a-z][a-z] [0-9]+ [0-9][0-9][0-9][0-9]) /, "")
	for (i = 1; i <= NF; i++)
		if ($i ~ /^[0-9]+$/)
			sum[i] += $i
	if (NF > columns)
		columns = NF
	rows++
	next
}
/^ ?(Before qmgr|In qmgr|Conn setup|Transmission|Total) [0-9]+\.[0-9][0-9] / { next } # delays
{ flush_rows(); print heading " |" $0; last = $0 }
END { flush_rows() }
