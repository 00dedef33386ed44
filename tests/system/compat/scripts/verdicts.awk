# How many of each verdict, the way many operators count them every morning.
/postfix\/postscreen\[/ {
	line = $0
	sub(/.*postfix\/postscreen\[[0-9]+\]: /, "", line)
	if (match(line, /^(PASS (NEW|OLD)|(ALLOW|DENY|WHITE|BLACK)LIST(ED| VETO)|CONNECT|DISCONNECT|PREGREET|HANGUP|DNSBL rank|BARE NEWLINE|NON-SMTP COMMAND|COMMAND (PIPELINING|TIME LIMIT|COUNT LIMIT|LENGTH LIMIT)|(DATA|BDAT) without valid RCPT|NOQUEUE: reject: (CONNECT|RCPT)|reject: connect|warning)/))
		count[substr(line, RSTART, RLENGTH)]++
	else
		count["(not understood) " line]++
}
END { for (word in count) printf "%-40s %6d\n", word, count[word] | "sort" }
