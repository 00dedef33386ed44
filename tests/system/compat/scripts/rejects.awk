# What was refused with which words, and who the senders and recipients were.
/postfix\/(postscreen|smtpd)\[[0-9]+\]: NOQUEUE: reject: / {
	who = $0
	sub(/.*postfix\//, "", who)
	sub(/\[.*/, "", who)
	what = $0
	sub(/.*NOQUEUE: reject: [A-Z]+ from [^[]*\[[^]]*\](:[0-9]+)?: /, "", what)
	rest = what
	sub(/; from=<.*/, "", what)
	gsub(/\[[0-9a-f.:]+\]/, "[ADDRESS]", what)
	reason[who ": " what]++
	while (match(rest, /(from|to|proto|helo)=<?[^ ,]*/)) {
		field[who " " substr(rest, RSTART, RLENGTH)]++
		rest = substr(rest, RSTART + RLENGTH)
	}
}
END {
	for (r in reason) printf "%6d %s\n", reason[r], r | "sort -k2"
	close("sort -k2")
	for (f in field) printf "%6d %s\n", field[f], f | "sort -k2"
}
