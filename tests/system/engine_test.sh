# What the differential tests cannot show: things postscreen has not, or not so.

top=@abs_top_srcdir@ build=@abs_top_builddir@
. "$top/tests/helpers/lib.subr"

talk()
{
	"$build/tests/helpers/talk" "$@"
}

engine_conf() # main.cf from standard input
{
	{
		cat <<-END
		compatibility_level = 3.6
		mynetworks = 127.0.0.1/32
		postscreen_pipelining_enable = yes
		gatehouse_after_deep_tests = retry
		END
		cat
	} | gatehouse_config
}

certificate()
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
	    -subj /CN=gate.example.test -keyout conf/key.pem -out conf/cert.pem 2>/dev/null
}

tls_conf()
{
	mkdir -p conf
	certificate
	{
		echo "smtpd_tls_key_file = $work/conf/key.pem"
		echo "smtpd_tls_cert_file = $work/conf/cert.pem"
		cat
	} | engine_conf
}

system_case starttls
starttls_body()
{
	setup
	echo "postscreen_tls_security_level = may" | tls_conf
	gatehouse_start
	atf_check -o ignore talk -s 127.1.1.1 "$addr:2525" 220- 220 '> EHLO a' 250 'has STARTTLS' \
	    '> MAIL FROM:<a@b>' 250 '> STARTTLS' 220 tls '> MAIL FROM:<a@b>' 250 '> RSET' 250 '> STARTTLS' 554 '> EHLO b' 250 \
	    '> MAIL FROM:<a@b>' 250 '> RCPT TO:<c@d>' 450 '> QUIT' 221 eof
	wait_line "$log" 'from=<a@b>, to=<c@d>, proto=ESMTP, helo=<b>'
	wait_line "$work/records" '"tls":{"version":"TLSv1.3","cipher":"[A-Z0-9_]*","resumed":false},"helo":"b"'
	gatehouse_stop
}

# What was said in plaintext behind STARTTLS is not obeyed under TLS.
system_case starttls_injection
starttls_injection_body()
{
	setup
	echo "postscreen_tls_security_level = may" | tls_conf
	gatehouse_start
	talk -s 127.1.1.2 -w 3000 "$addr:2525" 220- 220 '> EHLO a' 250 '! STARTTLS\r\nMAIL FROM:<evil@b>\r\n' 220 tls \
	    '> RCPT TO:<c@d>' 503 '> QUIT' 221 eof >out || { cat out; atf_fail "conversation"; }
	wait_line "$log" 'COMMAND PIPELINING from .127.1.1.2.:[0-9]+ after STARTTLS: MAIL FROM:<evil@b>'
	gatehouse_stop
}

system_case tls_required
tls_required_body()
{
	setup
	echo "postscreen_tls_security_level = encrypt" | tls_conf
	gatehouse_start
	atf_check -o ignore talk -s 127.1.1.3 "$addr:2525" 220- 220 '> EHLO a' 250 '> MAIL FROM:<a@b>' 530 '> NOOP' 250 \
	    '> DATA' 530 '> RSET' 530 '> STARTTLS' 220 tls '> EHLO a' 250 '> MAIL FROM:<a@b>' 250 '> QUIT' 221 eof
	atf_check -o ignore talk -s 127.1.1.4 "$addr:2525" 220- 220 '> STARTTLS' 220 '> NOOP' eof
	wait_line "$log" 'HANGUP after .* from .127.1.1.4.:'
	gatehouse_stop
}

system_case tarpit
tarpit_body()
{
	local begun
	setup
	engine_conf <<-END
	postscreen_access_list = cidr:{{127.66.0.0/16 reject}}
	postscreen_denylist_action = enforce
	gatehouse_tarpit_delay = 1s
	gatehouse_tarpit_rate = 20
	gatehouse_tarpit_sessions = 1
	END
	gatehouse_start
	begun=$(date +%s)
	talk -s 127.66.0.1 "$addr:2525" 220- 220 '! MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n' 250 550 '> QUIT' 221 eof >slow &
	slow=$!
	sleep 1.3
	# The budget is used up: a second one is answered at once.
	atf_check -o ignore talk -w 2500 -s 127.66.0.2 "$addr:2525" 220- 220 '> NOOP' 250 '> NOOP' 250 '> NOOP' 250 \
	    '> NOOP' 250 '> QUIT' 221 eof
	wait $slow || { cat slow; atf_fail "slow conversation"; }
	[ $(($(date +%s) - begun)) -ge 4 ] || atf_fail "not slow"
	wait_line "$log" 'PIPELINING from .127.66.0.1.:[0-9]+ after MAIL: RCPT TO:<c@d>'
	gatehouse_stop
}

system_case session_limit
session_limit_body()
{
	setup
	echo "gatehouse_session_time_limit = 10s" | engine_conf
	gatehouse_start
	(
		i=0
		while [ $i -lt 19 ]; do
			printf '> NOOP\n250\nsleep 1\n'
			i=$((i + 1))
		done
	) >steps
	set --
	while read -r step; do set -- "$@" "$step"; done <steps
	talk -s 127.1.1.5 "$addr:2525" 220- 220 "$@" >out
	atf_check -o match:'421 gate.example.test Service unavailable - try again later' cat out
	wait_line "$log" 'SESSION TIME LIMIT from .127.1.1.5.:[0-9]+ after NOOP'
	gatehouse_stop
}

system_case proxy_header
proxy_header_body()
{
	setup
	engine_conf <<-END
	gatehouse_listen = { $addr:2526, proxy=yes }
	gatehouse_proxy_networks = 127.77.0.0/16
	postscreen_upstream_proxy_timeout = 1s
	postscreen_client_connection_count_limit = 2
	END
	gatehouse_start
	atf_check -o ignore talk -s 127.77.0.1 "$addr:2526" '> PROXY TCP4 192.0.2.1 198.51.100.2 4711 25' 220- 220 \
	    '> QUIT' 221 eof
	wait_line "$log" 'CONNECT from .192.0.2.1.:4711 to .198.51.100.2.:25$'
	atf_check -o ignore talk -s 127.77.0.1 "$addr:2526" '! PROXY TC' 'sleep 0.1' '! P6 2001:db8::1 2001:db8::2 ' \
	    'sleep 0.1' '! 1 25\r' 'sleep 0.1' '! \nEHLO early\r\n' 220- 220 250 '> QUIT' 221 eof
	wait_line "$log" 'CONNECT from .2001:db8::1.:1 to .2001:db8::2.:25$'
	wait_line "$log" 'PREGREET 12 after [0-9.]+ from .2001:db8::1.:1: EHLO early'
	atf_check -o ignore talk -s 127.77.0.3 "$addr:2526" '> PROXY UNKNOWN' 220- 220 '> QUIT' 221 eof
	wait_line "$log" 'CONNECT from .127.77.0.3.:[0-9]+ to '
	atf_check -o ignore talk -s 127.77.0.4 "$addr:2526" '> HELO' 421 eof
	wait_line "$log" 'warning: haproxy read: short protocol header: HELO'
	atf_check -o ignore talk -s 127.77.0.5 "$addr:2526" 421 eof
	wait_line "$log" 'warning: haproxy read: time limit exceeded'
	atf_check -o ignore talk -s 127.78.0.1 "$addr:2526" 421 eof
	wait_line "$log" 'warning: proxy header from .127.78.0.1.:[0-9]+ refused: not in gatehouse_proxy_networks'
	# Addresses of a family that is not in use are no addresses.
	echo 'inet_protocols = ipv4' >>conf/main.cf
	gatehouse_reload
	atf_check -o ignore talk -s 127.77.0.6 "$addr:2526" '> PROXY TCP6 2001:db8::1 2001:db8::2 1 25' 421 eof
	wait_line "$log" 'warning: haproxy read: address family not in inet_protocols: PROXY TCP6 '
	atf_check -o ignore talk -s 127.77.0.7 "$addr:2526" '> PROXY TCP4 192.0.2.9 198.51.100.2 4711 25' 220- 220 '> QUIT' 221 eof
	echo 'inet_protocols = ipv5' >>conf/main.cf
	atf_check -s exit:78 -e match:'main.cf:[0-9]+: inet_protocols: "ipv5": write all, ipv4 or ipv6' \
	    "$build/gatehouse" -c "$work/conf" -t
	gatehouse_stop
}

# Whichever proxy it comes through, a client is one worker's: that to which it would be steered itself.
system_case proxied_to_their_workers
proxied_to_their_workers_body()
{
	local i client
	setup
	engine_conf <<-END
	gatehouse_listen = { $addr:2526, proxy=yes }, $addr:2525
	gatehouse_proxy_networks = 127.77.0.0/16
	END
	gatehouse_start
	for i in 1 2 3 4 5 6; do
		client=127.1.7.$i
		atf_check -o ignore talk -s "$client" "$addr:2525" 220- close
		atf_check -o ignore talk -s "127.77.0.$i" "$addr:2526" "> PROXY TCP4 $client 198.51.100.2 4711 25" 220- close
		atf_check -o ignore talk -s "127.77.1.$i" "$addr:2526" "> PROXY TCP4 $client 198.51.100.2 4711 25" 220- close
	done
	wait_for 5 sh -c 'test "$(wc -l <records)" -ge 18'
	sed 's/.*"client":"\([^"]*\)".*"worker":\([0-9]*\).*/\1 \2/' records | sort -u >owners
	atf_check_equal 6 "$(wc -l <owners)"
	atf_check_equal 2 "$(awk '{ print $2 }' owners | sort -u | wc -l)"
	gatehouse_stop
}

# A /64 is one client.
system_case limit_by_network
limit_by_network_body()
{
	local i pids=
	setup
	engine_conf <<-END
	gatehouse_listen = { $addr:2526, proxy=yes }
	gatehouse_proxy_networks = 127.77.0.0/16
	postscreen_client_connection_count_limit = 2
	gatehouse_workers = 1
	END
	gatehouse_start
	for i in 1 2; do
		talk -s 127.77.0.$i "$addr:2526" "> PROXY TCP6 2001:db8:0:1::$i ::1 $i 25" 220- 220 'sleep 2' >/dev/null &
		pids="$pids $!"
	done
	wait_line "$log" 'CONNECT from .2001:db8:0:1::1'
	wait_line "$log" 'CONNECT from .2001:db8:0:1::2'
	atf_check -o match:'421 4.7.0 Error: too many connections' talk -s 127.77.0.3 "$addr:2526" \
	    '> PROXY TCP6 2001:db8:0:1::3 ::1 3 25' 421 eof
	atf_check -o ignore talk -s 127.77.0.4 "$addr:2526" '> PROXY TCP6 2001:db8:0:2::3 ::1 3 25' 220- 220
	wait $pids
	atf_check -o ignore talk -s 127.77.0.3 "$addr:2526" '> PROXY TCP6 2001:db8:0:1::3 ::1 3 25' 220-
	gatehouse_stop
}

# 220- must not be followed by 421: stopping, too, is silent there.
system_case quiet_after_teaser
quiet_after_teaser_body()
{
	setup
	echo "postscreen_greet_wait = 5s" | engine_conf
	gatehouse_start
	talk -s 127.1.1.6 "$addr:2525" 220- eof >out &
	talk=$!
	wait_line "$log" 'CONNECT from .127.1.1.6'
	gatehouse_stop
	wait $talk
	atf_check -s exit:1 grep 421 out
}

atf_init_test_cases()
{
	for name in starttls starttls_injection tls_required tarpit session_limit proxy_header proxied_to_their_workers limit_by_network \
	    quiet_after_teaser; do
		atf_add_test_case $name
	done
}
