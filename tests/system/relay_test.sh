# Going on to the backend in the same connection: every deep check on, first visit, real servers behind.

top=@abs_top_srcdir@ build=@abs_top_builddir@
. "$top/tests/helpers/lib.subr"

deep='postscreen_pipelining_enable = yes
postscreen_pipelining_action = enforce
postscreen_non_smtp_command_enable = yes
postscreen_bare_newline_enable = yes
postscreen_bare_newline_action = enforce'

# gate BACKEND [LINE...]: Gatehouse with the deep checks on, before BACKEND
gate()
{
	{
		echo "$deep"
		echo "gatehouse_backend = $1"
		shift
		printf '%s\n' "$@"
	} | gatehouse_config
	gatehouse_start
}

# A message that no line-end confusion would survive: dots, 8-bit, long lines, no final newline.
awkward()
{
	printf 'Subject: awkward\r\n\r\n.\r\n..\r\n. dot\r\n\303\251\240\r\n'
	awk 'BEGIN { for (i = 0; i < 2000; i++) { printf "line %d ", i; for (k = 0; k < i % 90; k++) printf "x"; printf "\r\n" } }'
	printf 'end\r\n'
}

arrived() # the body as it was stored
{
	sed '1,/^$/d' "$(find "$work/postfix/mail" "$work/mail" -path '*/new/*' -type f 2>/dev/null | head -n 1)"
}

deliver_one() # SOURCE
{
	awkward >message
	send_mail "$1" 2525 --data "@$work/message"
	run_queue
	wait_mail 1
	tr -d '\r' <message | sed '1,/^$/d' >sent
	arrived | head -n "$(wc -l <sent)" >got # swaks adds an empty line of its own
	cmp sent got || atf_fail "the message was changed on its way"
}

check_first_visit() # SOURCE
{
	wait_line "$log" "PASS NEW \\[$1\\]"
	! grep -E "NOQUEUE|postscreen.*DISCONNECT \\[$1\\]" "$log" >refused || atf_fail "$(cat refused)"
	wait_for 5 test -s records
	atf_check_equal pass_new "$(record verdict "$1")"
}

system_case pass_to_postfix
pass_to_postfix_body()
{
	setup
	postfix_make </dev/null
	postfix_start
	gate "pass:$work/postfix/queue/private/smtpd" 'gatehouse_user = postfix'
	deliver_one 127.1.8.1
	check_first_visit 127.1.8.1
	grep -q 'connect from unknown\[127.1.8.1\]' postfix/maillog || atf_fail "Postfix does not know the client"
	send_mail 127.1.8.1 2525
	wait_line "$log" 'PASS OLD \[127.1.8.1\]'
	gatehouse_stop
}

# Postfix behind a TCP port, spoken to as KIND; it must take the client to be SOURCE-AS-SEEN.
over_tcp() # KIND SOURCE-AS-SEEN POSTFIX-LINE...
{
	local kind=$1 seen=$2
	shift 2
	setup
	printf '%s\n' "$@" | postfix_make 2526
	postfix_start
	gate "$kind:$addr:2526"
	deliver_one 127.1.8.2
	check_first_visit 127.1.8.2
	grep -q "client=unknown\\[$seen\\]" postfix/maillog || atf_fail "Postfix does not know the client"
	# Known now: relayed from the backend's own greeting on.
	send_mail 127.1.8.2 2525
	wait_line "$log" 'PASS OLD \[127.1.8.2\]'
	wait_mail 2
	gatehouse_stop
}

system_case proxy1_to_postfix
proxy1_to_postfix_body()
{
	over_tcp proxy1 127.1.8.2 'smtpd_upstream_proxy_protocol = haproxy'
}

system_case proxy2_to_postfix
proxy2_to_postfix_body()
{
	over_tcp proxy2 127.1.8.2 'smtpd_upstream_proxy_protocol = haproxy'
}

system_case xclient_to_postfix
xclient_to_postfix_body()
{
	over_tcp xclient 127.1.8.2 'smtpd_authorized_xclient_hosts = 127.0.0.0/8'
}

system_case tcp_to_postfix
tcp_to_postfix_body()
{
	over_tcp tcp '127[0-9.]*' '# nothing more'
}

exim_make()
{
	"$top/tests/helpers/real-parts" "$real" exim4-daemon-light >"$work/log/real-parts" 2>&1 ||
	    atf_skip "cannot get Debian's exim4"
	mkdir -p exim/spool exim/log mail/new
	chmod 777 mail mail/new
	chown -R Debian-exim exim/spool exim/log
	cat >exim/conf <<-END
	primary_hostname = mx.example.test
	spool_directory = $work/exim/spool
	log_file_path = $work/exim/log/%s
	pid_file_path = $work/exim/pid
	domainlist local_domains = example.org
	acl_smtp_rcpt = acl_rcpt
	trusted_users = root
	never_users =
	begin acl
	acl_rcpt:
	  accept domains = +local_domains
	  deny message = relaying is not allowed
	begin routers
	all:
	  driver = accept
	  transport = box
	begin transports
	box:
	  driver = appendfile
	  maildir_format
	  directory = $work/mail
	  user = Debian-exim
	END
	exim=$real/exim4-daemon-light/usr/sbin/exim4
	exim_libraries=$(find "$real/exim4-daemon-light" -name 'lib*.so*' -printf '%h\n' | sort -u | paste -sd :)
}

# Unpacked, its set-user-id binary finds no libraries when it runs itself: the queue is run by hand.
run_queue()
{
	[ -z "${exim:-}" ] || LD_LIBRARY_PATH=$exim_libraries "$exim" -C "$work/exim/conf" -qff
}

system_case spawn_exim
spawn_exim_body()
{
	setup
	exim_make
	# \$ : for the shell that starts the command, in a file where \$\$ is a dollar sign
	LD_LIBRARY_PATH=$exim_libraries
	export LD_LIBRARY_PATH
	gate "spawn:$exim -C $work/exim/conf -bs -odq -oMa \$\$TCPREMOTEIP"
	unset LD_LIBRARY_PATH
	deliver_one 127.1.8.10
	check_first_visit 127.1.8.10
	send_mail 127.1.8.10 2525
	wait_line "$log" 'PASS OLD \[127.1.8.10\]'
	run_queue
	wait_mail 2
	cat exim/log/* >seen
	atf_check_equal 2 "$(count seen '<= sender@example.net H=.*\[127.1.8.10\]')"
	gatehouse_stop
}

system_case inside_tls
inside_tls_body()
{
	setup
	postfix_make </dev/null
	postfix_start
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=gate.example.test \
	    -keyout key.pem -out cert.pem 2>/dev/null
	gate "pass:$work/postfix/queue/private/smtpd" 'gatehouse_user = postfix' \
	    'smtpd_tls_security_level = may' "smtpd_tls_cert_file = $work/cert.pem" "smtpd_tls_key_file = $work/key.pem"
	awkward >message
	send_mail 127.1.8.11 2525 --data "@$work/message" --tls
	grep -q 'TLS started with cipher TLSv1.3' swaks || atf_fail "no TLS"
	wait_mail 1
	check_first_visit 127.1.8.11
	atf_check_equal TLSv1.3 "$(record version 127.1.8.11)"
	gatehouse_stop
}

system_case refusals
refusals_body()
{
	setup
	printf '%s\n' 'smtpd_sender_restrictions = check_sender_access inline:{bad@example.net=REJECT}' \
	    'smtpd_delay_reject = no' | postfix_make
	postfix_start
	gate "pass:$work/postfix/queue/private/smtpd" 'gatehouse_user = postfix'
	# The backend's own words, for a recipient and for a sender.
	atf_check -o not-match:PIPELINING talk -s 127.1.8.3 "$addr:2525" 220 '> EHLO c.example' 250 'has DSN' \
	    '> MAIL FROM:<a@example.net>' 250 '> RCPT TO:<x@elsewhere.example>' 554 'has 5.7.1' \
	    '> RCPT TO:<inbox@example.org>' 250 '> QUIT' 221 eof
	atf_check -o ignore talk -s 127.1.8.4 "$addr:2525" 220 '> EHLO c.example' 250 \
	    '> MAIL FROM:<bad@example.net>' 250 '> RCPT TO:<inbox@example.org>' 554 'has 5.7.1' '> QUIT' 221 eof
	gatehouse_stop
}

system_case backend_down
backend_down_body()
{
	setup
	gate "tcp:$addr:2526"
	atf_check -o ignore talk -s 127.1.8.5 "$addr:2525" 220 '> EHLO c.example' 250 \
	    '> MAIL FROM:<a@example.net>' 250 '> RCPT TO:<inbox@example.org>' 421 'has 4.3.2' eof
	wait_line "$log" 'PASS NEW \[127.1.8.5\]'
	# What it earned was kept: as soon as there is a backend, it is let straight through.
	postfix_make 2526 </dev/null
	postfix_start
	send_mail 127.1.8.5 2525
	wait_line "$log" 'PASS OLD \[127.1.8.5\]'
	gatehouse_stop
}

system_case several_backends
several_backends_body()
{
	setup
	postfix_make 2526 </dev/null
	postfix_start
	gate "tcp:$addr2:2526, $addr:2526"
	for i in 1 2 3 4; do
		send_mail "127.1.9.$i" 2525
	done
	wait_mail 4
	gatehouse_stop
}

system_case impatient_clients
impatient_clients_body()
{
	setup
	gate "sink:$work/mail"
	# A second command with RCPT is pipelining; nothing of it reaches the backend.
	atf_check -o ignore talk -s 127.1.8.6 "$addr:2525" 220 '> EHLO c.example' 250 '> MAIL FROM:<a@b.example>' 250 \
	    '! RCPT TO:<c@d.example>\r\nDATA\r\n' 550 'has 5.5.1' 554 eof
	wait_line "$log" 'COMMAND PIPELINING from \[127.1.8.6\]:[0-9]+ after RCPT: DATA'
	# Bytes that some server could take for a line end are not carried over.
	atf_check -o ignore talk -s 127.1.8.7 "$addr:2525" 220 '! EHLO c.example\rMAIL FROM:<x@y>\r\n' 250 \
	    '> MAIL FROM:<a@b.example>' 250 '> RCPT TO:<c@d.example>' 450 'has 4.3.2' '> QUIT' 221 eof
	# Nor are words too long to be kept.
	long=$(printf '%1500s' | tr ' ' x)
	atf_check -o ignore talk -s 127.1.8.8 "$addr:2525" 220 '> EHLO c.example' 250 \
	    "> MAIL FROM:<a@b.example> X=$long" 250 '> RCPT TO:<c@d.example>' 450 'has 4.3.2' '> QUIT' 221 eof
	atf_check_equal 0 "$(delivered)"
	gatehouse_stop
}

system_case retry_as_postscreen_does
retry_as_postscreen_does_body()
{
	setup
	gate "sink:$work/mail" 'gatehouse_after_deep_tests = retry'
	atf_check -o ignore talk -s 127.1.8.9 "$addr:2525" 220 '> EHLO c.example' 250 'has CHUNKING' \
	    '> MAIL FROM:<a@b.example>' 250 '> RCPT TO:<c@d.example>' 450 'has 4.3.2' '> QUIT' 221 eof
	wait_line "$log" 'PASS NEW \[127.1.8.9\]'
	gatehouse_stop
}

atf_init_test_cases()
{
	atf_add_test_case pass_to_postfix
	atf_add_test_case proxy1_to_postfix
	atf_add_test_case proxy2_to_postfix
	atf_add_test_case xclient_to_postfix
	atf_add_test_case tcp_to_postfix
	atf_add_test_case spawn_exim
	atf_add_test_case inside_tls
	atf_add_test_case refusals
	atf_add_test_case backend_down
	atf_add_test_case several_backends
	atf_add_test_case impatient_clients
	atf_add_test_case retry_as_postscreen_does
}
