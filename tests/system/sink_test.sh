# gatehouse-sink behind the smallest sender of passed sockets.

top=@abs_top_srcdir@ build=@abs_top_builddir@
. "$top/tests/helpers/lib.subr"

sink_start()
{
	start sink "$build/gatehouse-sink" -n sink.example.test "$work/pass" "${1:-$work/box}"
	wait_for 5 test -S "$work/pass" || atf_fail "no socket"
	start floor "$build/tests/bench/floor" "$addr" 2525 "$work/pass"
	wait_port "$addr" 2525
}

messages()
{
	find box/new box/tmp -type f
}

system_case stores
stores_body()
{
	setup
	sink_start
	send_mail 127.1.2.3 2525 --body 'one\n..two\nthree'
	atf_check_equal 1 "$(messages | wc -l)"
	atf_check -o match:'^Return-Path: <sender@example.net>' -o match:'from client.example.test \(\[127.1.2.3\]\)' \
	    -o match:'^one$' -o match:'^\.\.two$' -o match:'^three$' -o not-match:"$(printf '\r')" cat "$(messages)"
	stop sink || atf_fail "the sink did not stop"
}

system_case speaks
speaks_body()
{
	setup
	sink_start
	atf_check -o ignore talk "$addr:2525" 220 '> MAIL FROM:<a@b>' 503 '> HELO' 501 '> HELO x' 250 'has sink.example' \
	    '> RCPT TO:<a@b>' 503 '> MAIL FROM:a@b' 501 '> MAIL FROM:<a@b> SIZE=99999999' 552 \
	    '> MAIL FROM:<a@b> SMTPUTF8' 555 '> mail from:<"a>b"@c> SIZE=100 BODY=8BITMIME' 250 '> MAIL FROM:<>' 503 \
	    '> DATA' 503 '> RCPT TO:<>' 501 '> RCPT TO:<a b>' 250 '> DATA x' 501 '> RSET' 250 '> NOOP x' 250 \
	    '> VRFY a' 252 '> STARTTLS' 502 '> ehlo y' 250 'has PIPELINING' '> QUIT' 221 eof
	atf_check -o ignore talk "$addr:2525" 220 \
	    '! EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nDATA\r\n' 250 250 250 250 354 \
	    '! hello\r\n.\r\nMAIL FROM:<>\r\nQUIT\r\n' 250 250 221 eof
	atf_check_equal 1 "$(messages | wc -l)"
}

system_case strict
strict_body()
{
	setup
	sink_start
	atf_check -o ignore talk "$addr:2525" 220 '! HELO x\n' 521 eof
	atf_check -o ignore talk "$addr:2525" 220 '! HELO\rx\r\n' 521 eof
	for end in '\n.\n' '\r\n.\n' '\n.\r\n' '\r\n.\r\r\n' '\r.\r\n'; do
		atf_check -o ignore talk "$addr:2525" 220 '> HELO x' 250 '> MAIL FROM:<a@b>' 250 '> RCPT TO:<c@d>' 250 \
		    '> DATA' 354 "! text${end}MAIL FROM:<smuggled@b>\r\n" 521 eof
	done
	long=$(printf '%3000s' | tr ' ' x)
	atf_check -o ignore talk "$addr:2525" 220 "> NOOP $long" 500 '> NOOP' 250 "> HELO $long" 500 '> QUIT' 221 eof
	set -- 220
	while [ $# -lt 39 ]; do set -- "$@" '> x' 502; done
	atf_check -o ignore talk "$addr:2525" "$@" '> x' 421 eof
	atf_check_equal 0 "$(messages | wc -l)"
}

system_case survives
survives_body()
{
	setup
	sink_start
	# Away in the middle of a message: nothing is left of it.
	atf_check -o ignore talk "$addr:2525" 220 '> HELO x' 250 '> MAIL FROM:<a@b>' 250 '> RCPT TO:<c@d>' 250 \
	    '> DATA' 354 '! half a message\r\n' close
	# No descriptor, no attributes, too many attributes.
	for junk in '' x "$(printf '%5000s' x)"; do
		atf_check -o ignore talk "$work/pass" "! $junk" close
	done
	send_mail 127.1.2.3 2525
	wait_for 5 test_messages 1 || atf_fail "$(messages)"
	# Many at once.
	for i in 1 2 3 4 5 6 7 8 9 10; do
		talk -q -s 127.1.3.$i "$addr:2525" 220 '> EHLO x' 250 '> MAIL FROM:<a@b>' 250 '> RCPT TO:<c@d>' 250 '> DATA' \
		    354 '! text\r\n.\r\n' 250 '> QUIT' 221 eof &
	done
	wait_for 10 test_messages 11 || atf_fail "$(messages | wc -l) messages instead of 11"
}

test_messages()
{
	[ "$(find box/new -type f | wc -l)" = "$1" ]
}

system_case discards
discards_body()
{
	setup
	sink_start -
	send_mail 127.1.2.3 2525
	atf_check -s exit:2 -e match:usage "$build/gatehouse-sink"
	atf_check -s exit:2 -e match:usage "$build/gatehouse-sink" -l x box
	atf_check -s exit:1 -e match:'fatal: Maildir /no/where/box' "$build/gatehouse-sink" "$work/other" /no/where/box
}

atf_init_test_cases()
{
	atf_add_test_case stores
	atf_add_test_case speaks
	atf_add_test_case strict
	atf_add_test_case survives
	atf_add_test_case discards
}
