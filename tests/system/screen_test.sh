# The daemon as a whole: real clients in front of it, real servers behind and beside it, and trouble.

top=@abs_top_srcdir@ build=@abs_top_builddir@
. "$top/tests/helpers/lib.subr"

hello="EHLO client.example.test"
from="MAIL FROM:<a@example.net>"
to="RCPT TO:<inbox@example.org>"

# good_client ADDRESS [220-]: a conversation that gets through to the sink; with "220-" after the pause
good_client()
{
	local address=$1
	shift
	atf_check -o ignore talk -s "$address" "$addr:2525" "$@" 220 "> $hello" 250 "> $from" 250 "> $to" 250 '> QUIT' 221 eof
}

# refused ADDRESS REPLY TEXT: after the pause, at RCPT
refused()
{
	atf_check -o ignore talk -s "$1" "$addr:2525" 220- 220 "> $hello" 250 "> $from" 250 "> $to" "$2" "has $3" \
	    '> QUIT' 221 eof
}

logged()
{
	wait_line "$log" "$1"
}

system_case mail_to_postfix
mail_to_postfix_body()
{
	setup
	postfix_make </dev/null
	postfix_start
	gatehouse_config <<-END
	gatehouse_backend = pass:private/smtpd
	queue_directory = $work/postfix/queue
	gatehouse_user = postfix
	END
	gatehouse_start
	send_mail 127.1.2.3 2525
	send_mail 127.1.2.3 2525
	wait_mail 2
	atf_check_equal 1 "$(count "$log" 'PASS NEW \[127\.1\.2\.3\]')"
	atf_check_equal 1 "$(count "$log" 'PASS OLD \[127\.1\.2\.3\]')"
	atf_check_equal 2 "$(count postfix/maillog 'smtpd.*: connect from unknown\[127\.1\.2\.3\]')"
	atf_check_equal "2" "$(cat postfix/mail/inbox/new/* | grep -c 'from client.example.test (unknown \[127.1.2.3\])')"
	atf_check_equal pass_old "$(record verdict 127.1.2.3)"
	# The whole greeting is one reply, and the teaser is ours.
	atf_check -o match:'220-gate.example.test ESMTP' -o match:'220 mx.example.test ESMTP' \
	    talk -s 127.1.2.4 "$addr:2525" 220 '> QUIT' 221 eof
	gatehouse_stop
}

system_case pregreet
pregreet_body()
{
	setup
	gatehouse_config <<-END
	postscreen_greet_action = drop
	END
	gatehouse_start
	atf_check -o ignore talk -s 127.1.2.1 "$addr:2525" 220- '> EHLO early' 521 'has 5.5.1 Protocol error' eof
	logged 'PREGREET 12 after 0(\.0[0-9])? from \[127\.1\.2\.1\]:[0-9]+: EHLO early\\r\\n'
	logged 'DISCONNECT \[127\.1\.2\.1\]'
	good_client 127.1.2.2 220-
	sed -i 's/^postscreen_greet_action.*/postscreen_greet_action = enforce/' conf/main.cf
	gatehouse_reload
	# Nothing it said is lost: the engine answers what came early.
	atf_check -o ignore talk -s 127.1.2.3 "$addr:2525" 220- "> $hello" 250 "> $from" 250 "> $to" 550 \
	    'has 5.5.1 Protocol error' '> QUIT' 221 eof
	atf_check_equal reject "$(record verdict 127.1.2.3)"
	atf_check_equal pregreet "$(record reason 127.1.2.3)"
	sed -i 's/^postscreen_greet_action.*/postscreen_greet_action = ignore/' conf/main.cf
	gatehouse_reload
	atf_check -o ignore talk -s 127.1.2.4 "$addr:2525" 220- "> $hello" 220 250 '> QUIT' 221 eof
	gatehouse_stop
}

list_up() # the list bl.example.test with 127.1.9.0/24
{
	echo 127.1.9.0/24 >list
	rbldnsd_start "$addr" 5300 bl.example.test:ip4set:list
}

system_case listed
listed_body()
{
	setup
	list_up
	gatehouse_config <<-END
	gatehouse_dns_servers = $addr:5300
	postscreen_dnsbl_sites = bl.example.test*2
	postscreen_dnsbl_threshold = 2
	postscreen_dnsbl_action = enforce
	END
	gatehouse_start
	good_client 127.1.8.1 220-
	refused 127.1.9.1 550 '5.7.1 Service unavailable; client [127.1.9.1] blocked using bl.example.test'
	logged 'dnsblog\[[0-9]+\]: addr 127\.1\.9\.1 listed by domain bl\.example\.test as 127\.0\.0\.2'
	logged 'DNSBL rank 2 for \[127\.1\.9\.1\]'
	logged 'NOQUEUE: reject: RCPT from \[127\.1\.9\.1\]:[0-9]+: 550 5\.7\.1 .* blocked using bl\.example\.test; from=<a@example\.net>, to=<inbox@example\.org>, proto=ESMTP, helo=<client\.example\.test>'
	wait_for 5 grep -q '"client":"127.1.9.1"' records || atf_fail "no record"
	atf_check_equal dnsbl "$(record reason 127.1.9.1)"
	atf_check -o match:'"dnsbl":\[\{"site":"bl.example.test","answers":\["127.0.0.2"\],"listed":true' \
	    grep -F '"client":"127.1.9.1"' records
	sed -i 's/^postscreen_dnsbl_action.*/postscreen_dnsbl_action = drop/' conf/main.cf
	gatehouse_reload
	atf_check -o ignore talk -s 127.1.9.2 "$addr:2525" 220- 521 'has blocked using bl.example.test' eof
	gatehouse_stop
}

system_case access_list
access_list_body()
{
	setup
	printf '127.1.5.0/24 permit\n127.1.6.0/24 reject\n' >access
	gatehouse_config <<-END
	postscreen_access_list = permit_mynetworks, cidr:$work/access
	postscreen_denylist_action = enforce
	compatibility_level = 3.6
	END
	gatehouse_start
	good_client 127.1.5.1
	good_client 127.0.0.1
	refused 127.1.6.1 550 '5.3.2 Service currently unavailable'
	good_client 127.1.7.1 220-
	logged 'ALLOWLISTED \[127\.1\.5\.1\]'
	logged 'DENYLISTED \[127\.1\.6\.1\]'
	sed -i 's/^postscreen_denylist_action.*/postscreen_denylist_action = drop/' conf/main.cf
	gatehouse_reload
	atf_check -o ignore talk -s 127.1.6.2 "$addr:2525" 521 'has 5.3.2' eof
	gatehouse_stop
}

system_case config_errors
config_errors_body()
{
	setup
	gatehouse_config <<-END
	postscreen_greet_action = perhaps
	postscreen_greet_wait = soon
	postscreen_dnsbl_sites = bl.example.test=127.0.0.[1;*2
	postscreen_gret_wait = 3s
	gatehouse_listen = nowhere
	gatehouse_backend = pigeon:home
	END
	lines=$(wc -l <conf/main.cf)
	for mode in -t -f; do
		atf_check -s exit:78 -o ignore -e save:errors "$build/gatehouse" -c "$work/conf" $mode
		for back in 5 4 3 2 1 0; do
			grep -q "conf/main.cf:$((lines - back)): " errors || fail_with errors
		done
		grep -q 'postscreen_greet_wait' errors || fail_with errors
	done
	atf_check -s exit:78 -o ignore -e match:'/no/where' "$build/gatehouse" -c /no/where -t
	gatehouse_config </dev/null
	atf_check "$build/gatehouse" -c "$work/conf" -t
	atf_check -s exit:78 -o ignore -e match:'postscreen_greet_wait' \
	    "$build/gatehouse" -c "$work/conf" -t -o postscreen_greet_wait=never
}

system_case reload
reload_body()
{
	setup
	gatehouse_config <<-END
	smtpd_banner = before
	postscreen_greet_banner = before
	END
	gatehouse_start
	atf_check -o match:'220-before' talk -s 127.1.2.1 "$addr:2525" 220- close
	workers=$(gatehouse_workers | sort | paste -sd ' ')
	# Wrong: the old one stays, the workers too.
	echo 'postscreen_greet_wait = never' >>conf/main.cf
	kill -HUP "$(pid_of gatehouse)"
	logged "conf/main.cf:$(wc -l <conf/main.cf): "
	atf_check -o match:'220-before' talk -s 127.1.2.2 "$addr:2525" 220- close
	atf_check_equal "$workers" "$(gatehouse_workers | sort | paste -sd ' ')"
	# Right: who is in the pause meanwhile is served to the end by those who took it.
	sed -i -e '$d' -e 's/before/after/' conf/main.cf
	talk -s 127.1.2.3 "$addr:2525" 220- 220 "> $hello" 250 sleep\ 2 "> $from" 250 '> QUIT' 221 eof >waiting 2>&1 &
	waiting=$!
	sleep 0.3
	gatehouse_reload
	atf_check -o match:'220-after' talk -s 127.1.2.4 "$addr:2525" 220- close
	wait $waiting || fail_with waiting
	grep -q '220-before' waiting || fail_with waiting
	wait_for 5 workers_are 2 || atf_fail "old workers are still there"
	gatehouse_stop
}

workers_are() # COUNT
{
	[ "$(screen_processes | wc -l)" = "$1" ]
}

# The children that screen: all but the sink and the tlsproxy.
screen_processes()
{
	local pid
	for pid in $(pgrep -P "$(pid_of gatehouse)"); do
		ls -l "/proc/$pid/fd" 2>/dev/null | grep -q 'anon_inode:\[eventpoll\]' || continue
		listens "$pid" && echo "$pid"
	done
}

listens() # PID: has the SMTP port open
{
	local inode
	inode=$(awk -v port=":$(printf %04X 2525)" '$2 ~ port "$" && $4 == "0A" { print $10 }' /proc/net/tcp)
	for i in $inode; do
		ls -l "/proc/$1/fd" 2>/dev/null | grep -q "socket:\[$i\]" && return 0
	done
	return 1
}

system_case backend_missing
backend_missing_body()
{
	setup
	gatehouse_config <<-END
	gatehouse_backend = pass:private/nothing
	END
	mkdir -p queue/private
	gatehouse_start
	# After the teaser the greeting must be finished before the 421.
	atf_check -o ignore talk -s 127.1.2.1 "$addr:2525" 220- 220 "> $hello" 421 'has 4.3.2' eof
	logged 'warning: cannot connect to service .*nothing: No such file or directory'
	# Known by now: no teaser.
	atf_check -o ignore talk -s 127.1.2.1 "$addr:2525" 421 'has 4.3.2 All server ports are busy' eof
	for i in 1 2 3 4 5 6 7 8 9; do
		talk -q -s 127.1.3.$i "$addr:2525" 220- 220 '> QUIT' 221 eof &
	done
	wait_line records '"client":"127.1.3.9"'
	sleep 0.5
	# Nothing leaked: as many descriptors as a fresh worker has, and it works when the service is there.
	for pid in $(screen_processes); do
		[ "$(ls "/proc/$pid/fd" | grep -c .)" -lt 40 ] || atf_fail "$(ls "/proc/$pid/fd" | wc -l) descriptors"
	done
	start sink "$build/gatehouse-sink" "$work/queue/private/nothing" -
	wait_for 5 test -S queue/private/nothing
	good_client 127.1.2.1
	gatehouse_stop
}

system_case dns_slow
dns_slow_body()
{
	setup
	start dns_liar "$build/tests/helpers/dns_liar" "$addr" 5300 "$addr2"
	gatehouse_config <<-END
	gatehouse_dns_servers = $addr:5300
	postscreen_dnsbl_sites = x.slow.example
	postscreen_greet_action = enforce
	END
	gatehouse_start
	# The answer comes after two seconds, a second after the pause, to one who talks on and one handed over.
	talk -s 127.1.2.1 "$addr:2525" 220- 220 "> $hello" 250 'sleep 2' '> QUIT' 221 eof >handed 2>&1 &
	talk -s 127.1.2.2 "$addr:2525" "> $hello" 220- 250 'sleep 2' '> QUIT' 221 eof >talking 2>&1 &
	wait_for 6 grep -q closed handed || fail_with "handed"
	wait_for 6 grep -q closed talking || fail_with "talking"
	gatehouse_unharmed
}

system_case dns_lies
dns_lies_body()
{
	setup
	start dns_liar "$build/tests/helpers/dns_liar" "$addr" 5300 "$addr2"
	gatehouse_config <<-END
	gatehouse_dns_servers = $addr:5300
	postscreen_dnsbl_sites = x.silent.example x.broken.example x.short.example x.many.example x.servfail.example
	  x.wrongid.example x.wrongquestion.example x.wrongaddr.example x.loop.example
	postscreen_dnsbl_threshold = 1
	postscreen_dnsbl_action = enforce
	END
	gatehouse_start
	good_client 127.1.2.1 220-
	[ "$(record wait_ms 127.1.2.1)" -lt 1500 ] || atf_fail "DNS held a client beyond the pause"
	# Nobody answers at all.
	stop dns_liar || true
	good_client 127.1.2.2 220-
	gatehouse_unharmed
}

gatehouse_unharmed()
{
	! grep "was killed" "$log" || atf_fail "a worker died"
	gatehouse_stop
}

system_case corrupt_store
corrupt_store_body()
{
	setup
	gatehouse_config </dev/null
	mkdir -p data/cache
	head -c 8192 /dev/urandom >data/cache/data.mdb
	chown -R nobody data/cache
	gatehouse_start
	logged 'warning: .*cache'
	good_client 127.1.2.1 220-
	good_client 127.1.2.1
	gatehouse_stop
}

system_case full_disk
full_disk_body()
{
	setup
	gatehouse_config </dev/null
	gatehouse_wrapper="unshare -m $work/small"
	cat >small <<-END
	#!/bin/sh
	mount -t tmpfs -o size=64k,mode=755 none "$work/data" || exit 1
	mkdir "$work/data/cache" && chown nobody "$work/data/cache"
	head -c 100k /dev/zero >"$work/data/filler" 2>/dev/null
	exec "\$@"
	END
	chmod +x small
	gatehouse_start
	for i in 1 2 3; do good_client 127.1.2.$i 220-; done
	logged 'warning: .*(No space left on device|cache|store)'
	good_client 127.1.2.4 220-
	gatehouse_unharmed
}

system_case descriptors
descriptors_body()
{
	setup
	gatehouse_config <<-END
	gatehouse_workers = 1
	postscreen_client_connection_count_limit = 0
	postscreen_pre_queue_limit = 1000
	END
	gatehouse_wrapper="prlimit --nofile=64:64"
	gatehouse_start
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
		for k in 1 2 3 4 5 6 7 8; do
			talk -s 127.1.$i.$k "$addr:2525" 220- 'sleep 2' close >"out.$i.$k" 2>&1 &
		done
	done
	sleep 1.5
	grep -l ' S: 421 ' out.* >busy || atf_fail "nobody was told 421"
	grep -l ' S: 220-' out.* >served || atf_fail "nobody was served"
	sleep 2.5
	good_client 127.1.200.1 220-
	gatehouse_unharmed
}

system_case worker_killed
worker_killed_body()
{
	setup
	gatehouse_config <<-END
	postscreen_greet_wait = 2s
	END
	gatehouse_start
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
		talk -s 127.1.2.$i "$addr:2525" 220- 220 '> QUIT' 221 eof >"out.$i" 2>&1 &
	done
	sleep 0.7
	screen_processes >before
	victim=$(head -n 1 before)
	kill -9 "$victim"
	# Clients of the dead one wait in the queue of its socket, which the master has kept.
	for i in 21 22 23 24 25 26 27 28; do
		talk -s 127.1.2.$i "$addr:2525" 220- 220 '> QUIT' 221 eof >"out.$i" 2>&1 &
	done
	logged 'was killed by signal 9'
	for i in 21 22 23 24 25 26 27 28; do
		wait_for 10 grep -q closed "out.$i" || fail_with "out.$i"
	done
	lost=0
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
		wait_for 5 grep -qE 'closed|unexpected' "out.$i"
		grep -q unexpected "out.$i" && lost=$((lost + 1))
	done
	[ $lost -gt 0 ] && [ $lost -lt 12 ] || atf_fail "$lost of 12 sessions were lost with one worker of two"
	workers_are 2 || atf_fail "$(screen_processes | wc -l) workers"
	gatehouse_stop
}

system_case ipv6
ipv6_body()
{
	setup
	port=$((20000 + $$ % 30000))
	gatehouse_config <<-END
	gatehouse_listen = [::1]:$port, $addr:2525
	END
	gatehouse_start
	atf_check -o ignore talk "[::1]:$port" 220- 220 "> $hello" 250 "> $from" 250 "> $to" 250 '> QUIT' 221 eof
	atf_check -o ignore talk "[::1]:$port" 220 '> QUIT' 221 eof
	logged "CONNECT from \\[::1\\]:[0-9]+ to \\[::1\\]:$port"
	logged 'PASS NEW \[::1\]:'
	logged 'PASS OLD \[::1\]:'
	good_client 127.1.2.1 220-
	gatehouse_stop
}

system_case stops
stops_body()
{
	setup
	gatehouse_config </dev/null
	gatehouse_start
	talk -s 127.1.2.1 "$addr:2525" 220- 'sleep 5' close >/dev/null 2>&1 &
	sleep 0.3
	pids=$(pgrep -P "$(pid_of gatehouse)")
	gatehouse_stop
	for pid in $pids; do
		stopped "$pid" || atf_fail "process $pid is left: $(tr '\0' ' ' <"/proc/$pid/cmdline")"
	done
	atf_check -o match:'^READY=1' -o match:'^STOPPING=1' cat ready
	# The address is free again at once, also for one who runs in the background.
	stop notify || true
	gatehouse_start
	gatehouse_stop
}

system_case given_sockets
given_sockets_body()
{
	setup
	gatehouse_config </dev/null
	cat >activate <<-END
	#!/usr/bin/perl
	use Socket; use Fcntl;
	my \$n = shift;
	for my \$fd (3 .. 2 + \$n) {
		socket(my \$s, PF_INET, SOCK_STREAM, 0) or die;
		setsockopt(\$s, SOL_SOCKET, 15, 1) or die;
		bind(\$s, sockaddr_in(2525, inet_aton("$addr"))) or die;
		listen(\$s, 100) or die;
		fcntl(\$s, F_SETFD, 0);
		die unless fileno(\$s) == \$fd;
		push @keep, \$s;
	}
	\$ENV{LISTEN_FDS} = \$n; \$ENV{LISTEN_PID} = \$\$;
	exec @ARGV;
	END
	chmod +x activate
	gatehouse_wrapper="$work/activate 2"
	gatehouse_start
	good_client 127.1.2.1 220-
	gatehouse_stop
}

# A master that is killed: its children end with what they hold, the port is free, and what was learned is kept.
system_case master_killed
master_killed_body()
{
	local round old
	setup
	gatehouse_config </dev/null
	for round in 1 2 3; do
		gatehouse_start
		atf_check -o ignore talk -s "127.1.22.$round" "$addr:2525" 220 '> QUIT' 221 eof
		sleep 1.2 # a commit is owed within a second
		old=$(pgrep -P "$(pid_of gatehouse)" | tr '\n' ' ')
		kill -9 "$(pid_of gatehouse)"
		wait_for 5 all_stopped $old || atf_fail "children of a dead master are still there"
	done
	gatehouse_start
	for round in 1 2 3; do
		atf_check -o ignore talk -s "127.1.22.$round" "$addr:2525" 220 '> QUIT' 221 eof
		wait_line "$log" "PASS OLD .127.1.22.$round.:"
	done
	gatehouse_stop
}

all_stopped() # PID...
{
	local pid
	for pid; do
		stopped "$pid" || return 1
	done
}

# A feed that is replaced counts from then on, without anybody's doing.
system_case replaced_feed
replaced_feed_body()
{
	setup
	echo '198.51.100.0/24' >feed
	gatehouse_config <<-END
	gatehouse_listen = { $addr:2525, proxy=yes }
	gatehouse_proxy_networks = 127.0.0.0/8
	gatehouse_score_rules = cidr:$work/feed*2
	postscreen_dnsbl_threshold = 2
	postscreen_dnsbl_action = enforce
	END
	gatehouse_start
	feed_refuses 198.51.100.1
	feed_passes 203.0.113.1
	: >ready
	echo '203.0.113.0/24' >feed.new
	mv feed.new feed
	wait_for 15 grep -q '^READY=1' ready || atf_fail "the new feed was not taken up"
	feed_refuses 203.0.113.2
	feed_passes 198.51.100.2
	gatehouse_stop
}

feed_refuses() # CLIENT
{
	atf_check -o ignore talk -s 127.1.20.1 "$addr:2525" "> PROXY TCP4 $1 192.0.2.1 4711 25" 220 '> HELO c.example' 250 \
	    '> MAIL FROM:<a@b.example>' 250 '> RCPT TO:<c@d.example>' 550 'has blocked using cidr:feed' '> QUIT' 221 eof
}

feed_passes() # CLIENT
{
	atf_check -o ignore talk -s 127.1.20.1 "$addr:2525" "> PROXY TCP4 $1 192.0.2.1 4711 25" 220 '> QUIT' 221 eof
}

atf_init_test_cases()
{
	local c
	for c in mail_to_postfix pregreet listed access_list config_errors reload backend_missing dns_slow dns_lies \
	    corrupt_store full_disk descriptors worker_killed ipv6 stops given_sockets replaced_feed master_killed; do
		atf_add_test_case $c
	done
}
