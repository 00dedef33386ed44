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
	find "$work/postfix/mail" "$work/mail" -path '*/new/*' -type f -printf '%T@ %p\n' 2>/dev/null | sort -n |
	    tail -n 1 | cut -d ' ' -f 2 | xargs sed '1,/^$/d'
}

unchanged() # COUNT: so many messages have arrived, and the newest is file message
{
	run_queue
	wait_mail "$1"
	tr -d '\r' <message | sed '1,/^$/d' >sent
	arrived | head -n "$(wc -l <sent)" >got # swaks adds an empty line of its own
	cmp sent got || atf_fail "the message was changed on its way"
}

deliver_one() # SOURCE
{
	awkward >message
	send_mail "$1" 2525 --data "@$work/message"
	unchanged 1
}

postfix_behind() # [GATE-LINE...]: Postfix by its pass service, and Gatehouse before it
{
	{
		echo 'message_size_limit = 100000000'
		echo 'virtual_mailbox_limit = 0'
		cat
	} | postfix_make 2526
	postfix_start
	gate "pass:$work/postfix/queue/private/smtpd" 'gatehouse_user = postfix' 'message_size_limit = 100000000' "$@"
}

certificate()
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=gate.example.test \
	    -keyout key.pem -out cert.pem 2>/dev/null
}

with_tls() # the lines that make Gatehouse offer TLS
{
	printf '%s\n' 'smtpd_tls_security_level = may' "smtpd_tls_cert_file = $work/cert.pem" \
	    "smtpd_tls_key_file = $work/key.pem"
}

upload() # SOURCE [CURL-OPTION...]: file message, by curl
{
	local from=$1
	shift
	curl -sS -k --interface "$from" --mail-from sender@example.net --mail-rcpt inbox@example.org \
	    --upload-file message "$@" "smtp://$addr:2525/client.example.test" || atf_fail "curl was refused"
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
	over_tcp xclient 127.1.8.2 'smtpd_authorized_xclient_hosts = 127.0.0.0/8' \
	    'smtpd_peername_lookup = yes'
}

system_case tcp_to_postfix
tcp_to_postfix_body()
{
	over_tcp tcp '127[0-9.]*' '# nothing more'
}

libraries_of() # PACKAGE
{
	find "$real/$1" -name 'lib*.so*' -printf '%h\n' | sort -u | paste -sd :
}

exim_make() # PACKAGE [LINE]
{
	"$top/tests/helpers/real-parts" "$real" "$1" >"$work/log/real-parts" 2>&1 ||
	    atf_skip "cannot get Debian's $1"
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
	${2:-}
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
	exim=$real/$1/usr/sbin/exim4
	exim_libraries=$(libraries_of "$1")
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
	exim_make exim4-daemon-light
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

exim_over() # KIND
{
	setup
	# The light build knows no PROXY protocol.
	exim_make exim4-daemon-heavy 'hosts_proxy = *'
	LD_LIBRARY_PATH=$exim_libraries start exim "$exim" -C "$work/exim/conf" -bdf -odq -oX "<; [$addr]:2526"
	wait_port "$addr" 2526
	gate "$1:$addr:2526"
	deliver_one 127.1.8.12
	check_first_visit 127.1.8.12
	send_mail 127.1.8.12 2525
	wait_line "$log" 'PASS OLD \[127.1.8.12\]'
	cat exim/log/* >seen
	atf_check_equal 2 "$(count seen '<= sender@example.net H=.*\[127.1.8.12\]')"
	gatehouse_stop
}

system_case proxy1_to_exim
proxy1_to_exim_body()
{
	exim_over proxy1
}

system_case proxy2_to_exim
proxy2_to_exim_body()
{
	exim_over proxy2
}

# OpenSMTPD has its paths built in: it lives in a mount namespace of its own, where they are ours.
opensmtpd_start()
{
	local at=$real/opensmtpd
	"$top/tests/helpers/real-parts" "$real" opensmtpd >"$work/log/real-parts" 2>&1 ||
	    atf_skip "cannot get Debian's opensmtpd"
	unshare -m true 2>/dev/null || atf_skip "no mount namespaces here"
	mkdir -p mail/new mail/cur mail/tmp libexec
	chown -R nobody mail
	cp -a "$at/usr/libexec/opensmtpd" libexec/
	cat >smtpd.conf <<-END
	table users { "@" = "nobody" }
	listen on $addr port 2526 hostname mx.example.test proxy-v2
	action "in" maildir "$work/mail" virtual <users>
	match from any for domain "example.org" action "in"
	END
	cat >opensmtpd.sh <<-END
	set -e
	mount -t tmpfs none /var/spool
	mount -t tmpfs none /var/lib
	mount -t tmpfs none /run
	mkdir -m 711 /var/spool/smtpd /var/lib/opensmtpd /var/lib/opensmtpd/empty
	mount --bind "$work/libexec" /usr/libexec
	export LD_LIBRARY_PATH="$(libraries_of opensmtpd)"
	exec "$at/usr/sbin/smtpd" -d -f "$work/smtpd.conf"
	END
	start opensmtpd unshare -m sh "$work/opensmtpd.sh"
	wait_port "$addr" 2526
}

system_case proxy2_to_opensmtpd
proxy2_to_opensmtpd_body()
{
	setup
	opensmtpd_start
	gate "proxy2:$addr:2526"
	deliver_one 127.1.8.13
	check_first_visit 127.1.8.13
	send_mail 127.1.8.13 2525
	wait_line "$log" 'PASS OLD \[127.1.8.13\]'
	wait_mail 2
	atf_check_equal 2 "$(count log/opensmtpd 'smtp connected address=127.1.8.13')"
	gatehouse_stop
}

system_case from_curl
from_curl_body()
{
	setup
	certificate
	with_tls >tls
	postfix_behind "$(cat tls)" </dev/null
	awkward >message
	upload 127.1.8.14
	unchanged 1
	check_first_visit 127.1.8.14
	rm -f records
	upload 127.1.8.15 --ssl-reqd
	unchanged 2
	wait_line "$log" 'PASS NEW \[127.1.8.15\]'
	gatehouse_stop
}

system_case from_msmtp
from_msmtp_body()
{
	setup
	"$top/tests/helpers/real-parts" "$real" msmtp >"$work/log/real-parts" 2>&1 ||
	    atf_skip "cannot get Debian's msmtp"
	certificate
	with_tls >tls
	postfix_behind "$(cat tls)" </dev/null
	awkward | tr -d '\r' >message
	for tls in off on; do
		LD_LIBRARY_PATH=$(libraries_of msmtp) "$real/msmtp/usr/bin/msmtp" --file=/dev/null --host="$addr" --port=2525 \
		    --source-ip="127.1.12.${#tls}" --auth=off --from=sender@example.net --tls=$tls --tls-starttls=$tls \
		    --tls-certcheck=off inbox@example.org <message || atf_fail "msmtp was refused"
	done
	unchanged 2
	check_first_visit 127.1.12.3
	check_first_visit 127.1.12.2
	atf_check_equal TLSv1.3 "$(record version 127.1.12.2)"
	gatehouse_stop
}

system_case from_python
from_python_body()
{
	setup
	python3 -c 'import smtplib' 2>/dev/null || atf_skip "no Python"
	postfix_behind </dev/null
	awkward >message
	python3 - "$addr" <<-END || atf_fail "smtplib was refused"
	import smtplib, sys
	with smtplib.SMTP(sys.argv[1], 2525, 'client.example.test', 20, ('127.1.8.17', 0)) as s:
	    s.sendmail('sender@example.net', ['inbox@example.org'], open('message', 'rb').read(), ['BODY=8BITMIME'])
	END
	unchanged 1
	check_first_visit 127.1.8.17
	gatehouse_stop
}

# Postfix's own client: mail for another domain goes out, through Gatehouse, and in again.
system_case from_postfix
from_postfix_body()
{
	setup
	postfix_behind <<-END
	transport_maps = inline:{client.example=smtp:[$addr]:2525}
	smtp_generic_maps = inline:{outbox@client.example=inbox@example.org}
	smtp_bind_address = 127.1.8.18
	relay_domains = client.example
	END
	awkward >message
	swaks --server "$addr" --port 2526 --from sender@example.net --to outbox@client.example \
	    --data "@$work/message" >swaks 2>&1 || fail_with swaks
	unchanged 1
	check_first_visit 127.1.8.18
	wait_line postfix/maillog 'postfix/smtp\[.*relay=[^ ]*:2525.*status=sent \(250'
	gatehouse_stop
}

system_case message_sizes 120
message_sizes_body()
{
	setup
	certificate
	with_tls >tls
	postfix_behind "$(cat tls)" </dev/null
	printf 'Subject: one\r\n\r\nx\r\n' >message
	upload 127.1.8.19
	unchanged 1
	{ printf 'Subject: 1 MB\r\n\r\n' && head -c 760000 /dev/urandom | base64 | sed 's/$/\r/'; } >message
	upload 127.1.8.20 --ssl-reqd
	unchanged 2
	{ printf 'Subject: 50 MB\r\n\r\n' && head -c 37500000 /dev/urandom | base64 | sed 's/$/\r/'; } >message
	upload 127.1.8.21
	unchanged 3
	atf_check_equal 3 "$(count "$log" 'PASS NEW')"
	gatehouse_stop
}

system_case bdat
bdat_body()
{
	setup
	postfix_behind </dev/null
	# Bytes that would end a message or a line elsewhere.
	atf_check -o ignore talk -s 127.1.8.22 "$addr:2525" 220 '> EHLO c.example' 250 'has CHUNKING' \
	    '> MAIL FROM:<a@example.net> BODY=8BITMIME' 250 '> RCPT TO:<inbox@example.org>' 250 \
	    '! BDAT 13\r\nSubject: b\r\n\r' 250 '! BDAT 17 LAST\r\n\n.\r\nQUIT\r\nend\r\n\r\n' 250 '> QUIT' 221 eof
	wait_mail 1
	arrived >got
	printf '.\nQUIT\nend\n\n' >sent
	cmp sent got || atf_fail "the chunks were changed"
	gatehouse_stop
}

system_case bdat_not_kept
bdat_not_kept_body()
{
	setup
	echo 'smtpd_discard_ehlo_keywords = chunking, dsn, silent-discard' | postfix_make 2526
	postfix_start
	gate "tcp:$addr:2526"
	wait_line postfix/maillog 'disconnect from' # asked what it promises
	sleep 0.2
	atf_check -o 'not-match:CHUNKING|DSN' talk -s 127.1.8.23 "$addr:2525" 220 '> EHLO c.example' 250 'has 8BITMIME' \
	    '> QUIT' 221 eof
	gatehouse_stop
}

# A backend whose behaviour is named by the last number of its client's address.
strange_backend()
{
	cat >strange <<-'END'
	step=${TCPREMOTEIP##*.}
	on() { case " $1 " in *" $step "*) return 0; esac; return 1; }
	say() { printf '%s\r\n' "$1"; }
	ends_at() { ! on "$1" || exit 0; }
	on 11 && { say '421 4.3.2 I am busy'; exit; }
	on 14 && sleep 6
	on 16 && { say '554 5.3.2 Go away'; exit; }
	on 21 && sleep 0.5
	ends_at 8
	say '220 backend'
	while IFS= read -r line; do
		case $line in
		EHLO*) ends_at 2; say '250-backend'; say '250 DSN' ;;
		MAIL*) ends_at 3; on 15 && sleep 6; on 22 && sleep 0.5
			on 12 && say '451 4.3.0 Not now' || say '250 2.1.0 Ok' ;;
		RCPT*) ends_at 4; on 23 && sleep 0.5
			on 13 && { say '421 4.3.2 The end'; exit; }
			say '250 2.1.5 Ok'
			on 31 && exec yes '250 flood' ;;
		DATA*) ends_at 5; say '354 go on'; ends_at 6
			on 32 && exec sleep 6
			on 33 && { sleep 1; say '552 5.3.4 Too much'; exit; } ;;
		.?) ends_at 7; say '250 2.0.0 Ok' ;;
		QUIT*) say '221 Bye'; exit ;;
		esac
	done
	END
	gate "spawn:/bin/sh $work/strange" 'gatehouse_backend_time_limit = 2s' 'message_size_limit = 100000000' "$@"
}

# say_to NUMBER STEP...: as client 127.1.10.NUMBER up to RCPT, then these steps; all at once, see heard_all
say_to()
{
	local number=$1
	shift
	talk -s "127.1.10.$number" "$addr:2525" 220 '> EHLO c.example' 250 '> MAIL FROM:<a@b.example>' 250 \
	    '> RCPT TO:<c@d.example>' "$@" >"heard.$number" 2>&1 &
	talking="$talking $number:$!"
}

heard_all()
{
	local each
	for each in $talking; do
		wait "${each#*:}" || { cat "heard.${each%:*}"; atf_fail "client ${each%:*} was not answered as it should"; }
		wait_line "$log" "PASS NEW \\[127.1.10.${each%:*}\\]"
	done
	talking=
}

workers() # without the commands that were started
{
	pgrep -x -P "$(pid_of gatehouse)" gatehouse
}

descriptors() # of all workers
{
	local pid
	for pid in $(workers); do ls "/proc/$pid/fd"; done 2>/dev/null | wc -l
}

as_before() # COUNT
{
	[ "$(descriptors)" -le "$1" ]
}

# The asking for promises is over, and nothing is open.
idle_descriptors()
{
	sleep 1
	descriptors
}

no_more_than() # COUNT
{
	wait_for 8 as_before "$1" || atf_fail "$(descriptors) descriptors are open instead of $1"
}

system_case backend_ends
backend_ends_body()
{
	setup
	strange_backend
	before=$(idle_descriptors)
	for i in 2 3 4 8 11 14 15 16; do # gone, busy, mute or hostile before RCPT is answered
		say_to $i 421 'has 4.3.2' eof
	done
	say_to 5 250 '> DATA' eof
	say_to 6 250 '> DATA' 354 '> Subject: x' eof
	say_to 7 250 '> DATA' 354 '> Subject: x' '> .' eof
	say_to 12 451 'has Not now' '> QUIT' 221 eof
	say_to 13 421 'has The end' eof
	heard_all
	# What they earned is kept: the next visit is direct, and hears the backend itself.
	atf_check -o ignore talk -s 127.1.10.16 "$addr:2525" 554 'has Go away' eof
	atf_check -o ignore talk -s 127.1.10.3 "$addr:2525" 220 'has backend' '> MAIL FROM:<x@y>' eof
	atf_check_equal 2 "$(count "$log" 'PASS OLD')"
	no_more_than "$before"
	gatehouse_stop
}

system_case client_ends
client_ends_body()
{
	setup
	strange_backend
	before=$(idle_descriptors)
	for i in 21 22 23; do # while the backend greets, takes MAIL, takes RCPT
		say_to $i 'sleep 0.2' close
	done
	say_to 24 250 close
	say_to 25 250 '> DATA' 354 close
	say_to 26 250 '> DATA' 354 '> half a' close
	say_to 27 250 '> DATA' 354 '> Subject: x' '> .' close
	heard_all
	no_more_than "$before"
	gatehouse_stop
}

# It is noticed at once, not when the mute backend speaks or its time is over.
system_case client_leaves_mute_backend
client_leaves_mute_backend_body()
{
	setup
	strange_backend 'gatehouse_backend_time_limit = 30s'
	say_to 14 'sleep 0.2' close
	heard_all
	atf_check_equal pass_new "$(record verdict 127.1.10.14)"
	gatehouse_stop
}

resident_kb() # of all workers
{
	local pid
	for pid in $(workers); do cat "/proc/$pid/smaps_rollup"; done | awk '/^Pss_Anon/ { kb += $2 } END { print kb }'
}

system_case slow_readers
slow_readers_body()
{
	setup
	strange_backend 'gatehouse_control ='
	before=$(idle_descriptors)
	say_to 30 250 close # what is set aside at the first client does not count
	heard_all
	memory=$(resident_kb)
	[ "$memory" -gt 1000 ] || atf_fail "the memory of the workers cannot be read"
	say_to 31 250 'sleep 3' close               # floods a client that does not read
	head -c 50000000 /dev/zero | tr '\0' x | fold -w 70 | sed 's/$/\r/' >message
	(upload 127.1.10.32 --max-time 4) >upload 2>&1 & # floods a backend that does not read
	sleep 3
	wait_line "$log" 'PASS NEW \[127.1.10.32\]'
	more=$(($(resident_kb) - memory))
	[ $more -lt 4000 ] || atf_fail "the workers grew by $more kB"
	heard_all
	wait $!
	# A backend that has enough says so and leaves what was sent unread: it is heard.
	say_to 33 250 '> DATA' 354 '> Subject: x' 'sleep 0.5' '> more' 552 eof
	heard_all
	no_more_than "$before"
	gatehouse_stop
}

system_case reload_while_relaying
reload_while_relaying_body()
{
	setup
	strange_backend
	old=$(workers)
	say_to 40 250 '> DATA' 354 'sleep 4' '> Subject: x' '> .' 250 '> QUIT' 221 eof
	wait_line heard.40 354
	gatehouse_reload
	say_to 41 250 '> QUIT' 221 eof # by the new ones
	heard_all
	for pid in $old; do
		wait_for 5 stopped "$pid" || atf_fail "an old worker stays"
	done
	gatehouse_stop
}

# A server that takes connections and never greets. A client that has its 220- cannot be told 421 at once.
system_case mute_backend
mute_backend_body()
{
	setup
	redis_start "$addr" 2526
	{
		echo "gatehouse_backend = tcp:$addr:2526"
		echo 'gatehouse_backend_time_limit = 1s'
	} | gatehouse_config
	gatehouse_start
	talk -s 127.1.8.24 "$addr:2525" 220- 220 'sleep 2' '> EHLO c.example' 421 eof >heard 2>&1 &
	talking=$!
	wait_line heard '220 gate'
	stop redis # its end comes to a session that no longer cares
	wait $talking || fail_with heard
	! grep -q 'killed by signal' "$log" || atf_fail "a worker died"
	gatehouse_stop
}

system_case xclient_is_ours_alone
xclient_is_ours_alone_body()
{
	setup
	echo 'smtpd_authorized_xclient_hosts = 127.0.0.1' | postfix_make 2526
	postfix_start
	gate "xclient:$addr:2526"
	atf_check -o ignore talk -s 127.1.8.25 "$addr:2525" 220 '> EHLO c.example' 250 '> MAIL FROM:<a@b.example>' 250 \
	    '> RCPT TO:<inbox@example.org>' 250 '> RSET' 250 '> XCLIENT ADDR=127.0.0.1' 550 '> QUIT' 221 eof
	gatehouse_stop
	# Refused to us as well, the refusal is not taken for a greeting.
	postfix_line='smtpd_authorized_xclient_hosts ='
	sed -i "s/^smtpd_authorized_xclient_hosts.*/$postfix_line/" postfix/conf/main.cf
	stop postfix
	: >postfix/maillog
	postfix_start
	gate "xclient:$addr:2526"
	atf_check -o ignore talk -s 127.1.8.25 "$addr:2525" 421 'has 4.3.2' eof
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

# What is announced is what every server of several keeps.
system_case several_promises
several_promises_body()
{
	setup
	echo 'smtpd_discard_ehlo_keywords = dsn, silent-discard' | postfix_make 2526
	sed -n "s/^$addr:2526 inet\\(.*\\)/$addr2:2526 inet\\1 -o smtpd_discard_ehlo_keywords=chunking,silent-discard/p" \
	    postfix/conf/master.cf >more
	cat more >>postfix/conf/master.cf
	postfix_start
	gate "tcp:$addr:2526, $addr2:2526"
	sleep 1
	atf_check -o 'not-match:CHUNKING|DSN' talk -s 127.1.8.26 "$addr:2525" 220 '> EHLO c.example' 250 'has 8BITMIME' \
	    '> QUIT' 221 eof
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
	atf_add_test_case several_promises
	atf_add_test_case impatient_clients
	atf_add_test_case retry_as_postscreen_does
	atf_add_test_case proxy1_to_exim
	atf_add_test_case proxy2_to_exim
	atf_add_test_case proxy2_to_opensmtpd
	atf_add_test_case from_curl
	atf_add_test_case from_msmtp
	atf_add_test_case from_python
	atf_add_test_case from_postfix
	atf_add_test_case message_sizes
	atf_add_test_case bdat
	atf_add_test_case bdat_not_kept
	atf_add_test_case backend_ends
	atf_add_test_case client_ends
	atf_add_test_case client_leaves_mute_backend
	atf_add_test_case slow_readers
	atf_add_test_case reload_while_relaying
	atf_add_test_case mute_backend
	atf_add_test_case xclient_is_ours_alone
}
