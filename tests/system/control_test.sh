# The control socket, the metrics and the status page of a running daemon; and that strangers at these
# desks change nothing for mail.

top=@abs_top_srcdir@ build=@abs_top_builddir@
. "$top/tests/helpers/lib.subr"

# Programs of the test, since atf_check runs programs only.
programs()
{
	mkdir -p bin
	cat >bin/ctl <<-END
	#!/bin/sh
	ASAN_OPTIONS=$asan_options:detect_leaks=0 exec "$build/gatehousectl" -c "$work/conf" "\$@"
	END
	cat >bin/asks <<-END
	#!/bin/sh
	talk "$addr:9125" "! \$1" eof | sed 's/^[ 0-9.]* .: *//' | tr -d '?'
	END
	chmod +x bin/ctl bin/asks
	PATH=$work/bin:$PATH
}

hello="EHLO client.example.test"
from="MAIL FROM:<a@example.net>"
to="RCPT TO:<inbox@example.org>"

good_client() # ADDRESS [220-]
{
	local address=$1
	shift
	atf_check -o ignore talk -s "$address" "$addr:2525" "$@" 220 "> $hello" 250 "> $from" 250 "> $to" 250 '> QUIT' 221 eof
}

early_client() # ADDRESS REPLY
{
	atf_check -o ignore talk -s "$1" "$addr:2525" 220- "> $hello" 250 "> $from" 250 "> $to" "$2" '> QUIT' 221 eof
}

metric() # NAME-WITH-LABELS: its value now
{
	ctl metrics | grep -v '^#' | grep -F "$1 " | sed 's/.* //'
}

metric_is() # NAME VALUE
{
	[ "$(metric "$1")" = "$2" ]
}

counted() # NAME VALUE
{
	wait_for 5 metric_is "$1" "$2" || atf_fail "$1 is $(metric "$1") instead of $2"
}

field() # JQ-FILTER: of the status
{
	ctl --json status | jq -r "$1"
}

system_case commands
commands_body()
{
	setup
	programs
	gatehouse_config <<-END
	gatehouse_control_group = mail
	postscreen_greet_action = enforce
	END
	atf_check -s exit:3 -e match:'no answer at .*/control: .*does gatehouse run' \
	    "$build/gatehousectl" -c "$work/conf" status
	gatehouse_start
	atf_check_equal "660 mail" "$(stat -c '%a %G' control)"
	good_client 127.1.2.3 220-
	early_client 127.1.2.4 550
	atf_check -o match:'^gatehouse .*, serving; up' -o match:'^passed +1 ' -o match:'^refused +1 ' \
	    -o match:'^  pregreet +1$' -o match:'^screen +1 +[0-9]+  serving' ctl status
	atf_check_equal '1 1 2 serving' \
	    "$(field '"\(.verdicts.pass_new) \(.verdicts.reject) \(.connections) \(.phase)"')"
	wait_for 5 ended 2 || atf_fail "no ended sessions"
	atf_check -o match:'127.1.2.4 .* reject .* pregreet +client.example.test' ctl sessions --ended
	atf_check -o match:'"id":"[0-9a-f]{16}".*"verdict":"(reject|pass_new)"' ctl --json sessions --ended 1
	# One that is still here.
	start guest talk -s 127.1.2.5 "$addr:2525" 220- "sleep 8" close
	wait_for 5 is_open 127.1.2.5 || atf_fail "no such session"
	atf_check -o match:'^CLIENT' -o match:'127.1.2.5 .* wait ' ctl sessions
	atf_check_equal 2 "$(ctl sessions --watch=1 --times 2 | grep -c CLIENT)"
	# A worker that is stopped: the others are shown, soon.
	stopped_worker=$(field '[.workers[] | select(.role == "screen")][0].pid')
	kill -STOP "$stopped_worker"
	atf_check -o match:'^CLIENT' timeout 5 "$work/bin/ctl" sessions
	atf_check -o match:'serving; up' timeout 5 "$work/bin/ctl" status
	kill -CONT "$stopped_worker"
	# The same in JSON, everywhere.
	for command in status sessions 'sessions --ended' lists metrics 'metrics --list' offenders 'explain 127.1.2.4' reload; do
		ctl --json $command >json || atf_fail "$command"
		jq -c . json >/dev/null || fail_with json
	done
	atf_check_equal pregreet "$(ctl --json metrics | jq -r 'select(.name == "gatehouse_sessions_total" and
	    .labels.verdict == "reject") | .labels.reason')"
	# Who may not is told who may.
	chmod 755 "$work"
	atf_check -s exit:3 -e match:'you may not use .*/control: it is for root and the group mail' \
	    setpriv --reuid=nobody --regid=nogroup --clear-groups "$build/gatehousectl" -c "$work/conf" status
	# Unknown words.
	atf_check -o match:'^usage: .* status$' ctl status --help
	atf_check -s exit:2 -e match:'no number from 1 to 2000' ctl sessions 2001
	atf_check -s exit:2 -e match:usage ctl sessions many more
	atf_check -o match:'ERR unknown request' talk "$work/control" '> steal' eof
	atf_check -o match:'ERR wrong argument' talk "$work/control" '> status 3' eof
	gatehouse_stop
	atf_check test ! -e control
}

ended()
{
	[ "$(ctl --json sessions --ended | wc -l)" -ge "$1" ]
}

is_open()
{
	ctl sessions | grep -qF "$1 "
}

# What the doctor says of this and that; his other findings depend on the machine.
system_case doctor
doctor_body()
{
	setup
	programs
	printf ':127.0.0.2:listed\n127.0.0.2\n' >listed
	rbldnsd_start "$addr" 5353 bl.example:ip4set:listed
	gatehouse_config <<-END
	gatehouse_dns_servers = $addr:5353
	postscreen_dnsbl_sites = bl.example
	END
	gatehouse_start
	atf_check -o match:'^bl.example healthy' -o match:'^error codes of lists: as known on 20[0-9-]+$' ctl dnsbl health
	ctl doctor >findings || true
	for finding in 'fine +daemon +gatehouse answers' 'fine +lists +bl.example is healthy' \
	    'fine +lists +error codes of lists: as known on 20' 'note +gateway +too few clients'; do
		atf_check -o match:"^$finding" cat findings
	done
	ctl --json doctor | jq -c . >/dev/null || atf_fail "no JSON"
	# A mail server that sees us instead of the client, and trusts us.
	ctl -o "gatehouse_backend=tcp:$addr:2525" -o "mynetworks=127.0.0.0/8" doctor >findings || true
	atf_check -o match:'^worry +backend +with tcp: .*relays for everybody' cat findings
	ctl -o "gatehouse_backend=tcp:$addr:2525" -o "mynetworks=10.0.0.0/8" doctor >findings || true
	atf_check -o match:'^note +backend +with tcp: .*are blind' cat findings
	# Descriptors: two a session where sockets are passed, four where bytes are.
	limit="prlimit --nofile=3000:3000"
	$limit "$work/bin/ctl" doctor >findings || true
	atf_check -o match:'^fine +limits' cat findings
	$limit "$work/bin/ctl" -o "gatehouse_backend=tcp:$addr:2525" doctor >findings || true
	atf_check -o match:'^worry +limits +gatehouse_session_limit = 2000 may need 4064 descriptors' cat findings
	gatehouse_stop
	gatehouse_wrapper="prlimit --nofile=3000:3000" gatehouse_start -o postscreen_bare_newline_enable=yes
	wait_line "$log" 'session_limit = 2000 needs about 4064 file descriptors a worker .4 a session., the limit is 3000'
	# The demo backend has our name, not the machine's.
	atf_check -o ignore talk -s 127.0.0.1 "$addr:2525" 220 'has 220 gate.example.test ' '> QUIT' 221 eof
	gatehouse_stop
}

system_case orders
orders_body()
{
	setup
	programs
	# With a check after the greeting the guest below is ours, not the mail server's.
	gatehouse_config <<-END
	postscreen_pipelining_enable = yes
	END
	gatehouse_start
	old=$(field '[.workers[].pid] | join(" ")')
	atf_check -o match:'2 workers serve it' ctl reload
	new=$(field '[.workers[] | select(.phase == "serving") | .pid] | join(" ")')
	[ "$old" != "$new" ] || atf_fail "the workers are the same"
	# An error is told to who asked, with its place, and nothing changes.
	echo 'postscreen_greet_wait = long' >>conf/main.cf
	atf_check -s exit:1 -e match:'main.cf:[0-9]+: .*postscreen_greet_wait' -e match:'old configuration stays' \
	    ctl reload
	atf_check_equal "$new" "$(field '[.workers[].pid] | join(" ")')"
	counted 'gatehouse_reloads_total{result="in_force"}' 1
	counted 'gatehouse_reloads_total{result="refused"}' 1
	sed -i '/greet_wait = long/d' conf/main.cf
	# Drain: who is here is served to the end, and can be seen; nobody new comes in.
	start guest talk -s 127.1.2.5 "$addr:2525" 220- 220 "> $hello" 250 "sleep 2" "> $from" 250 '> QUIT' 221 eof
	wait_for 5 guest_speaks || atf_fail "the guest is not heard"
	atf_check -o match:'no new clients' ctl drain
	wait_for 5 is_refused || atf_fail "still listening"
	wait_for 10 stopped "$(pid_of gatehouse)" || atf_fail "gatehouse did not end"
	atf_check -o match:'221 ' cat log/guest
	! grep -E 'ERROR: AddressSanitizer|runtime error:' log/gatehouse || atf_fail "gatehouse broke"
	# Before our own sink the master stays for its clients: as drain.
	gatehouse_start
	atf_check -o match:'the workers finish' ctl leave
	wait_for 10 stopped "$(pid_of gatehouse)" || atf_fail "gatehouse did not end"
	atf_check -o ignore grep 'draining: no new clients' log/gatehouse
	gatehouse_start
	atf_check -o match:stopping ctl stop
	wait_for 10 stopped "$(pid_of gatehouse)" || atf_fail "gatehouse did not end"
}

system_case leave
leave_body()
{
	setup
	programs
	gatehouse_config <<-END
	gatehouse_backend = tcp:$addr:2526
	postscreen_pipelining_enable = yes
	END
	gatehouse_start
	start guest talk -s 127.1.2.5 "$addr:2525" 220- 220 "> $hello" 250 "sleep 3" "> $from" 250 '> QUIT' 221 eof
	wait_for 5 guest_speaks || atf_fail "the guest is not heard"
	workers=$(field '[.workers[].pid] | join(" ")')
	atf_check -o match:'the workers finish' ctl leave
	wait_for 2 stopped "$(pid_of gatehouse)" || atf_fail "the master stays"
	wait_for 5 is_refused || atf_fail "still listening"
	# The next master serves while the worker of the old one still has its guest.
	gatehouse_start
	! guest_is_done || atf_fail "the guest is gone already"
	wait_for 10 guest_is_done || atf_fail "the guest was left alone"
	for worker in $workers; do
		wait_for 5 stopped "$worker" || atf_fail "worker $worker stays"
	done
}

guest_is_done()
{
	grep -q '221 ' log/guest
}

guest_speaks()
{
	grep -q '250' log/guest
}

is_refused()
{
	! port_open "$addr" 2525
}

system_case shadow
shadow_body()
{
	setup
	programs
	printf '127.1.9.0/24\n' >listed
	printf '127.1.8.0/24 reject\n' >access
	gatehouse_config <<-END
	gatehouse_shadow = yes
	gatehouse_after_deep_tests = retry
	postscreen_greet_action = drop
	postscreen_denylist_action = drop
	postscreen_access_list = permit_mynetworks cidr:$work/access
	postscreen_bare_newline_enable = yes
	postscreen_bare_newline_action = drop
	postscreen_pipelining_enable = yes
	postscreen_pipelining_action = enforce
	postscreen_non_smtp_command_enable = yes
	postscreen_non_smtp_command_action = drop
	gatehouse_dns_servers = $addr:5353
	postscreen_dnsbl_sites = bl.example
	postscreen_dnsbl_action = enforce
	END
	rbldnsd_start "$addr" 5353 bl.example:ip4set:listed
	gatehouse_start
	# Each of these would be refused, and is not.
	atf_check -o ignore talk -s 127.1.2.4 "$addr:2525" 220- "> $hello" 220 250 "> $from" 250 "> $to" 250 '> QUIT' 221 eof
	good_client 127.1.8.1 220-
	atf_check -o ignore talk -s 127.1.2.6 "$addr:2525" 220- 220 "! $hello\n" 250 "> $from" 250 "> $to" 250 '> QUIT' 221 eof
	good_client 127.1.2.7 220-
	good_client 127.1.9.1 220-
	atf_check -o ignore talk -s 127.1.2.8 "$addr:2525" 220- 220 "! $hello\r\n$from\r\n$to\r\n" 250 250 250 '> QUIT' 221 eof
	atf_check -o ignore talk -s 127.1.2.9 "$addr:2525" 220- 220 '> Subject: x' 502 "> $hello" 250 "> $from" 250 "> $to" 250 \
	    '> QUIT' 221 eof
	for reason in pregreet deny-list bare-newline dnsbl pipelining non-smtp; do
		counted "gatehouse_shadow_refusals_total{reason=\"$reason\"}" 1
	done
	atf_check_equal "7 null null" "$(field '"\(.verdicts.pass_new) \(.reasons.pregreet) \(.reasons["deny-list"])"')"
	atf_check_equal 6 "$(field '[.shadow.would_refuse[]] | add')"
	atf_check -o match:'enforcing would have refused 6 sessions more' ctl status
	atf_check_equal '{"verdict":"drop","reason":"pregreet"}' "$(grep -F '"127.1.2.4"' records | jq -c .shadow)"
	atf_check_equal null "$(grep -F '"127.1.2.7"' records | jq -c .shadow)"
	atf_check -o match:'pass \(in the shadow: reject\)' ctl explain 127.1.8.2
	# Only the deny list: then the early talker is dropped.
	sed -i 's/^gatehouse_shadow.*/gatehouse_shadow = denylist/; /^gatehouse_after_deep/d' conf/main.cf
	atf_check -o ignore ctl reload
	atf_check -o ignore talk -s 127.1.2.10 "$addr:2525" 220- '> EHLO early' 521 eof
	good_client 127.1.8.3 220-
	sed -i 's/^gatehouse_shadow.*/gatehouse_shadow = pregret/' conf/main.cf
	atf_check -s exit:78 -e match:'gatehouse_shadow: "pregret": write' "$build/gatehouse" -c "$work/conf" -t
	gatehouse_stop
}

system_case metrics
metrics_body()
{
	setup
	programs
	printf ':127.0.0.2:listed\n127.1.9.0/24\n127.0.0.2\n' >listed
	rbldnsd_start "$addr" 5353 bl.example:ip4set:listed
	gatehouse_config <<-END
	gatehouse_metrics_listen = $addr:9125
	gatehouse_dns_servers = $addr:5353
	postscreen_dnsbl_sites = bl.example, none.example
	postscreen_dnsbl_action = enforce
	postscreen_pipelining_enable = yes
	END
	gatehouse_start
	atf_check -o ignore talk -s 127.1.9.1 "$addr:2525" 220- 220 "> $hello" 250 "> $from" 250 "> $to" 550 '> QUIT' 221 eof
	good_client 127.1.2.1 220-
	good_client 127.1.2.1
	counted 'gatehouse_sessions_total{verdict="reject",reason="dnsbl"}' 1
	counted 'gatehouse_sessions_total{verdict="pass_new",reason=""}' 1
	counted 'gatehouse_sessions_total{verdict="pass_old",reason=""}' 1
	counted gatehouse_connections_total 3
	counted 'gatehouse_dnsbl_results_total{list="bl.example",result="listed"}' 1
	counted 'gatehouse_dnsbl_results_total{list="bl.example",result="clear"}' 1
	counted 'gatehouse_memory_lookups_total{result="hit"}' 1
	counted 'gatehouse_handoff_seconds_count' 1
	counted 'gatehouse_events_total{event="pass_old"}' 1
	counted 'gatehouse_wait_seconds_bucket{le="0.5"}' 0
	counted 'gatehouse_wait_seconds_bucket{le="+Inf"}' 2
	# A dead worker loses none of it, nor does a reload.
	before=$(ctl metrics | grep -E '^gatehouse_(sessions|tests|events|dnsbl_results)_total|_seconds_(bucket|sum)' | sort)
	for pid in $(field '.workers[] | select(.role == "screen") | .pid'); do kill -9 "$pid"; done
	wait_for 10 metric_is gatehouse_worker_deaths_total 2 || atf_fail "no deaths are counted"
	atf_check -o ignore ctl reload
	after=$(ctl metrics | grep -E '^gatehouse_(sessions|tests|events|dnsbl_results)_total|_seconds_(bucket|sum)' | sort)
	[ "$before" = "$after" ] || {
		echo "$before" >before; echo "$after" >after
		diff before after
		atf_fail "counts are lost"
	}
	# Every name is in the list, in both directions.
	ctl metrics --list | cut -f1 | sort >listed_names
	ctl metrics | sed -n 's/^# TYPE \([^ ]*\) .*/\1/p' | sort >real_names
	atf_check diff listed_names real_names
	get /metrics >http
	atf_check -o match:'^HTTP/1.1 200 OK' -o match:'^Content-Type: text/plain; version=0.0.4' head -2 http
	sed '1,/^.$/d' http >exposition
	command -v promtool >/dev/null || atf_skip "no promtool: the exposition is not checked"
	atf_check -o empty -e empty promtool check metrics <exposition
	gatehouse_stop
}

get() # PATH: the answer of the HTTP port, head and body
{
	talk "$addr:9125" "! GET $1 HTTP/1.1\r\nHost: x\r\n\r\n" eof >talked
	curl -si --max-time 10 "http://$addr:9125$1"
}

# A master without rights may not look into its workers everywhere; they tell it themselves.
system_case without_root
without_root_body()
{
	setup
	programs
	gatehouse_config <<-END
	postscreen_greet_action = enforce
	END
	mkdir mail && chown -R nobody "$work"
	gatehouse_wrapper="setpriv --reuid=nobody --regid=nogroup --clear-groups" gatehouse_start
	good_client 127.1.2.3 220-
	for role in master screen; do
		[ "$(metric "gatehouse_process_open_descriptors{role=\"$role\",number=\"0\"}")" -gt 5 ] || atf_fail "$role"
		[ "$(metric "gatehouse_process_resident_bytes{role=\"$role\",number=\"0\"}")" -gt 100000 ] || atf_fail "$role"
	done
	atf_check_equal 0 "$(field '[.workers[] | select(.descriptors < 5)] | length')"
	gatehouse_stop
}

# Under load, workers are killed: no count ever goes back, and every connection has an end.
system_case killed 120
killed_body()
{
	setup
	programs
	gatehouse_config <<-END
	postscreen_pre_queue_limit = 2000
	postscreen_post_queue_limit = 2000
	END
	gatehouse_start
	start burst "$build/tests/bench/burst" -n 1500 -c 300 -r 150 -w 20 "$addr" 2525
	counts >before
	for i in $(seq 30); do
		counts >after
		awk -F' ' 'NR == FNR { before[$1] = $2; next } { now[$1] = $2 }
			END { for (name in before) if (now[name] + 0 < before[name] + 0)
				print name, before[name], now[name] }' before after >back
		atf_check -o empty cat back
		mv after before
		[ $((i % 10)) -ne 5 ] || kill -9 "$(field '[.workers[] | select(.role == "screen" and .pid > 0)][0].pid')"
		sleep 0.2
	done
	wait_for 30 stopped "$(pid_of burst)" || atf_fail "burst goes on"
	counted 'gatehouse_worker_deaths_total' 3
	wait_for 10 all_ended || { ctl metrics | grep -E '^gatehouse_(connections|sessions)'; atf_fail "some have no end"; }
	[ "$(metric 'gatehouse_sessions_total{verdict="error",reason="worker-died"}')" -gt 0 ] || atf_fail "nobody was hurt"
	gatehouse_stop
}

counts()
{
	ctl metrics | grep -E '^gatehouse_[a-z_]*(_total|_count|_sum|_bucket)[{ ]'
}

all_ended()
{
	ctl metrics | awk '/^gatehouse_connections_total / { all = $2 } /^gatehouse_sessions_total/ { ended += $2 }
	    /^gatehouse_sessions_open/ { open += $2 } END { exit !(all > 1000 && all == ended && open == 0) }'
}

atf_test_case monitoring
monitoring_head()
{
	atf_set descr "the dashboard and the alert rules speak of metrics that exist"
	atf_set require.progs jq
}
monitoring_body()
{
	"$build/gatehousectl" metrics --list >names
	awk -F'\t' '$2 == "histogram" { print $1 "_bucket"; print $1 "_sum"; print $1 "_count"; next } { print $1 }' \
	    names | sort >known
	atf_check -o ignore jq . "$top/doc/monitoring/grafana.json"
	cat "$top/doc/monitoring/grafana.json" "$top/doc/monitoring/alerts.yml" | grep -oE 'gatehouse_[a-z0-9_]+' |
	    sort -u >used
	atf_check -o not-empty cat used
	atf_check -o empty comm -23 used known
	if command -v promtool >/dev/null; then
		atf_check -o ignore -e empty promtool check rules "$top/doc/monitoring/alerts.yml"
		# The dashboard's questions, with its variables filled in, as if they were rules.
		jq '{groups: [{name: "dashboard", rules: [.. | objects | select(has("expr")) | .expr |
		    gsub("[$]__rate_interval"; "5m") | gsub("[$]__interval"; "1m") | gsub("[$]__range"; "1h") | gsub("[$]instance"; ".*")] |
		    to_entries | map({record: "dashboard:q\(.key)", expr: .value})}]}' \
		    "$top/doc/monitoring/grafana.json" >questions.json
		[ "$(jq '.groups[0].rules | length' questions.json)" -gt 20 ] || fail_with questions.json
		atf_check -o ignore -e empty promtool check rules questions.json
	fi
}

system_case strangers
strangers_body()
{
	setup
	programs
	gatehouse_config <<-END
	gatehouse_metrics_listen = $addr:9125
	postscreen_pre_queue_limit = 2000
	postscreen_post_queue_limit = 2000
	END
	gatehouse_start
	master=$(pid_of gatehouse)
	before=$(ls "/proc/$master/fd" | wc -l)
	# Garbage, too much, nothing at all, half a request.
	head -c 20000 /dev/urandom >junk
	for i in 1 2 3; do
		curl -s --max-time 1 --http0.9 "telnet://$addr:9125" <junk >/dev/null
		nc_unix <junk
	done
	atf_check -o match:'^HTTP/1.1 400' -o match:'^Connection: close' asks 'NONSENSE\r\n\r\n'
	atf_check -o match:'^HTTP/1.1 404' asks 'GET /etc/passwd HTTP/1.1\r\n\r\n'
	atf_check -o match:'^HTTP/1.1 405' asks 'DELETE / HTTP/1.1\r\n\r\n'
	atf_check -o match:'^HTTP/1.1 431' asks "GET /$(printf '%05000d' 0) HTTP/1.1\r\n\r\n"
	atf_check -o match:'ERR request too long' talk "$work/control" "! $(printf '%0300d' 0)" eof
	# More connections than there are places, held in silence: who asks is still answered at once.
	for i in $(seq 70); do
		talk -q "$addr:9125" 'sleep 2' close &
		talk -q "$work/control" 'sleep 2' close &
		echo $! >>orphans
	done 2>/dev/null
	sleep 1
	atf_check -o match:'^gatehouse .* serving' ctl status
	atf_check -o match:'^HTTP/1.1 200' asks 'GET /alive HTTP/1.1\r\n\r\n'
	good_client 127.1.2.3 220-
	open=$(ls "/proc/$master/fd" | wc -l)
	[ "$open" -le $((before + 110)) ] || atf_fail "$open descriptors in the master"
	# Everything at once, without end, while many clients are screened: each of them is greeted.
	for i in 1 2 3 4 5 6; do
		(while :; do
			curl -s --max-time 10 -o /dev/null "http://$addr:9125/metrics"
			head -c 3000 /dev/urandom | curl -s --max-time 1 --http0.9 "telnet://$addr:9125" >/dev/null
			printf 'sessions 2000 json\n' | talk -q "$work/control" '> sessions 2000 json' eof
			nc_unix
		done) 2>/dev/null &
		echo $! >>orphans
	done
	"$build/tests/bench/burst" -n 1000 -c 500 -r 250 -w 20 -b 0x040000 "$addr" 2525 >burst
	atf_check -o match:'^greeted 1000 refused 0 failed 0 ' cat burst
	good_client 127.1.2.4 220-
	kill -9 $(cat orphans) 2>/dev/null
	wait_for 15 is_quiet "$before" || atf_fail "descriptors are left: $(ls -l "/proc/$master/fd")"
	gatehouse_stop
}

is_quiet()
{
	[ "$(ls "/proc/$(pid_of gatehouse)/fd" | wc -l)" -le "$1" ]
}

nc_unix()
{
	talk -q "$work/control" "! $(head -c 200 /dev/urandom | od -An -c | tr -d ' \n\\' | head -c 250)" close
}

atf_init_test_cases()
{
	atf_add_test_case commands
	atf_add_test_case doctor
	atf_add_test_case orders
	atf_add_test_case leave
	atf_add_test_case shadow
	atf_add_test_case metrics
	atf_add_test_case without_root
	atf_add_test_case killed
	atf_add_test_case monitoring
	atf_add_test_case strangers
}
