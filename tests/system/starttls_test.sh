# STARTTLS in the whole daemon: the clients people use, real servers behind, and what happens to the rest
# when a tlsproxy process or a certificate changes. The processes by themselves: tls_test.

top=@abs_top_srcdir@ build=@abs_top_builddir@
. "$top/tests/helpers/lib.subr"

# pair NAME ec|rsa [DAYS]: NAME.pem, key and certificate, for gate.example.test
pair()
{
	local kind="-newkey rsa:2048"
	[ "$2" = rsa ] || kind="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
	openssl req -x509 $kind -nodes -days "${3:-30}" -subj "/CN=$1" -addext subjectAltName=DNS:gate.example.test \
	    -keyout "$1.key" -out "$1.crt" 2>/dev/null
	cat "$1.key" "$1.crt" >"$1.pem"
}

# gate [LINE...]: Gatehouse with TLS and the deep checks, so that every client comes to the engine
gate()
{
	{
		cat <<-END
		postscreen_pipelining_enable = yes
		smtpd_tls_security_level = may
		smtpd_tls_loglevel = 1
		smtpd_tls_chain_files = $work/ec.pem
		END
		printf '%s\n' "$@"
	} | gatehouse_config
	gatehouse_start
}

# secure SOURCE [STEP...]: a conversation under TLS that must go as written
secure()
{
	local from=$1
	shift
	talk -s "$from" "$addr:2525" 220 '> EHLO a.example' 250 '> STARTTLS' 220 tls '> EHLO a.example' 250 "$@" \
	    '> QUIT' 221 eof >heard 2>&1 || fail_with heard
}

# client OPTION...: s_client, commands from standard input; the first visit is over when EHLO is answered
client()
{
	timeout 20 openssl s_client -starttls smtp -connect "$addr:2525" -quiet "$@" 2>client.err | tr -d '\r'
}

tls_process()
{
	pgrep -x -P "$(pid_of gatehouse)" gatehouse-tls
}

subject() # whose certificate a client is shown now
{
	openssl s_client -starttls smtp -bind 127.1.9.20 -connect "$addr:2525" </dev/null 2>/dev/null | sed -n 's/^subject=//p'
}

system_case real_clients
real_clients_body()
{
	setup
	pair ec ec
	pair rsa rsa
	postfix_make 2526 <<-END
	transport_maps = inline:{client.example=smtp:[$addr]:2525}
	smtp_generic_maps = inline:{outbox@client.example=inbox@example.org}
	smtp_bind_address = 127.1.9.3
	relay_domains = client.example
	smtp_tls_security_level = secure
	smtp_tls_secure_cert_match = gate.example.test
	smtp_tls_CAfile = $work/both.crt
	smtp_tls_loglevel = 1
	END
	cat ec.crt rsa.crt >both.crt
	postfix_start
	gate "gatehouse_backend = tcp:$addr:2526" "smtpd_tls_chain_files = $work/ec.pem, $work/rsa.pem"
	printf 'Subject: a\r\n\r\nbody\r\n' >message
	# Each verifies what it is shown.
	curl -sS --cacert both.crt --interface 127.1.9.1 --resolve "gate.example.test:2525:$addr" --ssl-reqd \
	    --mail-from sender@example.net --mail-rcpt inbox@example.org --upload-file message \
	    smtp://gate.example.test:2525/client.example || atf_fail "curl was refused"
	wait_mail 1
	send_mail 127.1.9.2 2525 --data "@$work/message" --tls --tls-verify --tls-ca-path both.crt --tls-protocol tlsv1_2
	grep -q 'TLS started with cipher TLSv1.2:ECDHE' swaks || fail_with swaks
	wait_mail 2
	swaks --server "$addr" --port 2526 --from sender@example.net --to outbox@client.example \
	    --data "@$work/message" >swaks 2>&1 || fail_with swaks
	wait_mail 3
	wait_line postfix/maillog "postfix/smtp\[[0-9]*\]: Verified TLS connection established to $addr.*:2525: TLSv1.3 "
	wait_line postfix/maillog 'postfix/smtp\[.*relay=[^ ]*:2525.*status=sent \(250'
	# By hand, with either key.
	for key in ECDSA RSA; do
		{
			sleep 1.2 # the pause
			for line in 'EHLO a.example' 'MAIL FROM:<sender@example.net>' 'RCPT TO:<inbox@example.org>' DATA; do
				printf '%s\r\n' "$line"
				sleep 0.3
			done
			printf 'Subject: b\r\n\r\nbody\r\n.\r\nQUIT\r\n'
		} | client -bind "127.1.10.${#key}" -tls1_2 -cipher "ECDHE+a$key" >heard
		grep -q '^250 2.0.0 Ok: queued' heard || fail_with heard
		wait_line records "\"client\":\"127.1.10.${#key}\".*\"tls\":{\"version\":\"TLSv1.2\",\"cipher\":\"ECDHE-$key-"
	done
	wait_mail 5
	gatehouse_stop
}

system_case resumed
resumed_body()
{
	setup
	pair ec ec
	gate 'gatehouse_tls_workers = 2' 'postscreen_greet_wait = 1s'
	again() # ADDRESS OPTION...: whether this client's session is resumed, as its record says
	{
		local from=$1
		shift
		{ sleep 1.2; printf 'EHLO a\r\n'; sleep 0.2; printf 'QUIT\r\n'; } | client -bind "$from" "$@" >heard
		wait_line records "\"client\":\"$from\""
		grep "\"client\":\"$from\"" records | sed 's/.*"resumed":\([a-z]*\).*/\1/'
	}
	for version in 2 3; do
		atf_check_equal false "$(again "127.1.11.$version" "-tls1_$version" -sess_out session.$version)"
		for i in 1 2 3 4 5 6; do
			again "127.1.12.$version$i" "-tls1_$version" -sess_in session.$version >"again.$version$i" &
		done
	done
	wait_for 10 eval '[ "$(cat again.* | grep -c true)" = 12 ]' || atf_fail "$(cat again.*)"
	# Over both processes, or the test says nothing.
	atf_check_equal 2 "$(grep -o 'tlsproxy\[[0-9]*\]: Anon' "$log" | sort -u | wc -l)"
	gatehouse_reload
	for version in 2 3; do
		atf_check_equal true "$(again "127.1.13.$version" "-tls1_$version" -sess_in session.$version)"
	done
	gatehouse_stop
}

system_case pool_dies
pool_dies_body()
{
	setup
	pair ec ec
	gate 'gatehouse_tls_user = daemon'
	secure 127.1.9.11
	# The keys may belong to a user of their own.
	atf_check_equal "$(tls_process)" "$(pgrep -u daemon -P "$(pid_of gatehouse)")"
	# A session in plaintext is under way all the while; so is one under TLS, which is lost.
	talk -s 127.1.9.12 -w 20000 "$addr:2525" 220 '> EHLO b' 250 'sleep 4' '> NOOP' 250 '> QUIT' 221 eof >plain 2>&1 &
	plain=$!
	talk -s 127.1.9.13 -w 20000 "$addr:2525" 220 '> EHLO b' 250 '> STARTTLS' 220 tls '> NOOP' 250 eof >lost 2>&1 &
	lost=$!
	wait_line lost '250 2.0.0 Ok'
	# Killed again and again it is given more and more time to think.
	for i in 1 2 3 4 5; do
		wait_for 5 tls_process >/dev/null || atf_fail "not replaced"
		kill -9 "$(tls_process)"
		wait_for 5 eval '! tls_process' >/dev/null
	done
	atf_check -o match:'454 4.7.0' talk -s 127.1.9.11 "$addr:2525" 220 '> EHLO c' 250 '> STARTTLS' 454 '> NOOP' 250 \
	    '> QUIT' 221 eof
	wait $lost || fail_with lost
	wait_for 10 tls_process >/dev/null || atf_fail "not replaced"
	secure 127.1.9.14
	wait $plain || fail_with plain
	wait_line "$log" 'warning: tlsproxy 0 \(process [0-9]*\) was killed by signal 9'
	wait_line "$log" 'warning: problem sending file handle to tlsproxy: No such process'
	gatehouse_stop
}

system_case replaced_certificate
replaced_certificate_body()
{
	setup
	pair one ec
	pair two ec
	pair three ec
	cp one.pem ec.pem
	gate 'gatehouse_tls_watch = yes'
	atf_check_equal 'CN = one' "$(subject)"
	# By itself, while a session goes on with the old one.
	talk -s 127.1.9.21 -w 60000 "$addr:2525" 220 '> EHLO a' 250 '> STARTTLS' 220 tls 'sleep 8' '> NOOP' 250 '> QUIT' 221 eof \
	    >old 2>&1 &
	old=$!
	wait_line old 'TLSv1.3'
	cp two.pem ec.pem
	wait_for 12 eval '[ "$(subject)" = "CN = two" ]' || atf_fail "not taken up"
	# A key that does not match: the old pair stays in use, and the message names the file.
	cat three.key one.crt >ec.pem
	kill -HUP "$(pid_of gatehouse)"
	wait_line "$log" "error: .*$work/ec.pem: the private key in $work/ec.pem does not belong to this certificate" 10
	atf_check_equal 'CN = two' "$(subject)"
	cat three.key three.crt one.crt >ec.pem
	kill -HUP "$(pid_of gatehouse)"
	wait_line "$log" "error: .*$work/ec.pem: the chain is broken: certificate 1 was not issued by certificate 2" 10
	atf_check_equal 'CN = two' "$(subject)"
	cp three.pem ec.pem
	gatehouse_reload
	atf_check_equal 'CN = three' "$(subject)"
	wait $old || fail_with old
	gatehouse_stop
}

system_case slow_and_broken
slow_and_broken_body()
{
	setup
	pair ec ec
	gate 'postscreen_starttls_timeout = 4s' 'smtpd_tls_protocols = >=TLSv1.2'
	# Byte after byte is slow, but is a handshake.
	talk -s 127.1.9.31 -w 20000 "$addr:2525" 220 '> EHLO a.example' 250 '> STARTTLS' 220 'tls slowly' '> NOOP' 250 '> QUIT' 221 \
	    eof >heard 2>&1 || fail_with heard
	# Silence, half a record and a byte now and then: one limit for the whole.
	for bytes in '\026' '\026\003\001' '\026\003\001\002\000\001'; do
		echo "127.1.9.$((40 + ${#bytes})) $bytes"
	done | while read -r from bytes; do
		talk -s "$from" -w 10000 "$addr:2525" 220 '> EHLO a' 250 '> STARTTLS' 220 "! $(printf "$bytes")" 'sleep 2' "! $(printf '\001')" eof \
		    >"stalled.$from" 2>&1 &
	done
	# Garbage, and a version that is not wanted.
	atf_check -o match:closed talk -s 127.1.9.32 "$addr:2525" 220 '> EHLO a' 250 '> STARTTLS' 220 '> GET / HTTP/1.0' eof
	wait_line "$log" 'tlsproxy\[[0-9]*\]: TLS handshake failed for service=smtp peer=\[127.1.9.32\]:'
	wait_line "$log" 'HANGUP after [0-9.]* from \[127.1.9.32\]:[0-9]* in tests after SMTP handshake'
	printf 'QUIT\r\n' | client -bind 127.1.9.33 -tls1_1 -cipher ALL:@SECLEVEL=0 >heard
	! grep -q '^2[25][01]' heard || fail_with heard
	wait_line "$log" 'TLS library problem: error:[0-9A-F]*:SSL routines::unsupported protocol:'
	wait_line "$log" 'postscreen\[[0-9]*\]: DISCONNECT \[127.1.9.33\]:'
	for from in 44 52 64; do
		wait_line "$log" "tlsproxy\\[[0-9]*\\]: TLS handshake failed for service=smtp peer=\\[127.1.9.$from\\]" 10
		wait_line "$log" "HANGUP after [345][.0-9]* from \\[127.1.9.$from\\]:[0-9]* in tests after SMTP handshake"
	done
	wait_line "$log" 'warning: ciphertext read/write timeout for \[127.1.9.(44|52|64)\]'
	# Renegotiation, which only TLS 1.2 knows, is refused.
	{ sleep 1.3; printf 'R\n'; sleep 0.5; } | timeout 10 openssl s_client -starttls smtp -connect "$addr:2525" -bind 127.1.9.34 \
	    -tls1_2 >heard 2>&1
	grep -q 'RENEGOTIATING' heard || fail_with heard
	grep -q 'no renegotiation' heard || fail_with heard
	atf_check_equal 1 "$(tls_process | wc -l)"
	gatehouse_stop
}

# A tlsproxy process that hangs, before its watchdog ends it: its clients are not held for long.
system_case process_hangs
process_hangs_body()
{
	setup
	pair ec ec
	gate 'postscreen_starttls_timeout = 1s'
	secure 127.1.9.51
	kill -STOP "$(tls_process)"
	talk -s 127.1.9.52 -w 9000 "$addr:2525" 220 '> EHLO a' 250 '> STARTTLS' 220 close >heard 2>&1 || fail_with heard
	wait_line "$log" 'HANGUP after [5-7][.0-9]* from \[127.1.9.52\]:[0-9]* in tests after SMTP handshake' 9
	wait_line "$log" 'postscreen\[[0-9]*\]: DISCONNECT \[127.1.9.52\]'
	kill -9 "$(tls_process)"
	wait_for 5 eval 'tls_process && ! grep -q stopped /proc/$(tls_process)/status' >/dev/null || atf_fail "not replaced"
	secure 127.1.9.53
	gatehouse_stop
}

system_case runs_out
runs_out_body()
{
	setup
	pair ec ec 10
	gate "gatehouse_metrics_listen = $addr:9125"
	wait_line "$log" "warning: $work/ec.pem: the certificate of CN=ec expires in (9|10) days and [0-9]* hours"
	expiry=$(date -d "$(openssl x509 -in ec.crt -noout -enddate | cut -d= -f2)" +%s)
	curl -s "http://$addr:9125/metrics" >metrics
	atf_check -o match:"^gatehouse_certificate_expiry_time_seconds $expiry$" cat metrics
	"$build/gatehousectl" -c conf doctor >doctor 2>&1 || true
	atf_check -o match:'CN=ec expires in (9|10) days' -o match:'TLSv1.2 TLSv1.3' -o match:'level: may' cat doctor
	gatehouse_stop
	pair ec ec 60
	: >"$log"
	gate "gatehouse_metrics_listen = $addr:9125" 'smtpd_tls_ask_ccert = yes' 'smtpd_tls_protocols = TLSv1.3'
	"$build/gatehousectl" -c conf doctor >doctor 2>&1 || true
	atf_check -o match:'CN=ec, (59|60) days left' -o match:'protocols: TLSv1.3$' -o match:'client certificates: asked for' cat doctor
	! grep -q expires "$log" || atf_fail "warned too early"
	gatehouse_stop
}

atf_init_test_cases()
{
	atf_add_test_case real_clients
	atf_add_test_case resumed
	atf_add_test_case pool_dies
	atf_add_test_case replaced_certificate
	atf_add_test_case slow_and_broken
	atf_add_test_case process_hangs
	atf_add_test_case runs_out
}
