# Records shared by two hosts through one Redis server, in good days and bad: nobody waits for it, nobody is refused.

top=@abs_top_srcdir@ build=@abs_top_builddir@
. "$top/tests/helpers/lib.subr"

one_host()
{
	echo 'open sesame' >password
	chmod 600 password
	gatehouse_config <<-END
	gatehouse_cache_server = redis://$addr:6379/2
	gatehouse_cache_password_file = $work/password
	gatehouse_cache_prefix = site1:
	END
}

# two_hosts: this one holds strangers for a second, the other for thirty, so that who is let in there was known
two_hosts()
{
	one_host
	gatehouse_start
	mkdir -p conf2 data2
	chmod 755 conf2 data2
	sed -e "s/$addr:2525/$addr2:2525/" -e "s,$work/control,$work/control2," -e "s,$work/data,$work/data2," \
	    -e "s,$work/records,$work/records2," -e 's/^postscreen_greet_wait.*/postscreen_greet_wait = 30s/' \
	    conf/main.cf >conf2/main.cf
	ASAN_OPTIONS=$asan_options:detect_leaks=0 start gatehouse2 "$build/gatehouse" -c "$work/conf2" -f
	log2=log/gatehouse2
	wait_port "$addr2" 2525
}

redis()
{
	redis_start "$addr" 6379 --requirepass 'open sesame' --enable-debug-command local "$@"
}

in_redis() # COMMAND...
{
	redis-cli -h "$addr" -n 2 --no-auth-warning -a 'open sesame' "$@"
}

stored() # ADDRESS
{
	[ "$(in_redis exists "site1:$1")" = 1 ]
}

# All workers of both hosts have logged in.
connected()
{
	ctl metrics | grep -qx 'gatehouse_share_up 2' &&
	    "$build/gatehousectl" -c "$work/conf2" metrics | grep -qx 'gatehouse_share_up 2'
}

# A stranger here, who waits as long as any, and no longer.
stranger() # ADDRESS
{
	visit "$1"
	wait_line "$log" "PASS NEW \[$1\]"
	waited=$(record wait_ms "$1")
	[ "${waited%.*}" -lt 1900 ] || atf_fail "$1 was held for $waited ms"
}

both_stop()
{
	! grep -hE 'AddressSanitizer|runtime error|was killed|Assertion' "$log" "$log2" || atf_fail "a process broke"
	stop gatehouse2 || atf_fail "the other host does not stop"
	gatehouse_stop
}

system_case two_hosts
two_hosts_body()
{
	setup
	redis
	two_hosts
	wait_for 5 connected || atf_fail "not connected"
	visit 127.1.8.1
	wait_for 3 stored 127.1.8.1 || atf_fail "not in the server"
	# Its last stamp is that of the greeting, a day.
	ttl=$(in_redis ttl site1:127.1.8.1)
	[ "$ttl" -gt 86300 ] && [ "$ttl" -le 86400 ] || atf_fail "it lives $ttl seconds"
	[ "$(in_redis dbsize)" = 1 ] || atf_fail "more than one key"
	# The other host has never met it, and lets it in during the first moments of its long pause.
	visit 127.1.8.1 "$addr2"
	wait_line $log2 'PASS OLD \[127\.1\.8\.1\]'
	# What it was told it keeps.
	kept() { "$build/gatehousectl" -c "$work/conf2" cache get 127.1.8.1 >/dev/null 2>&1; }
	wait_for 3 kept || atf_fail "not in the other host's own store"
	atf_check -o match:'^shared: redis://.*, 2 of 2 workers connected; asked 1, found 0, late 0, put 1, lost 0' \
	    "$build/gatehousectl" -c "$work/conf" status
	atf_check -o match:'"connected":2,"workers":2,"asked":1,"found":1' "$build/gatehousectl" -c "$work/conf2" --json status
	both_stop
}

# Forgotten by the server is not forgotten here.
system_case flushed
flushed_body()
{
	setup
	redis
	two_hosts
	wait_for 5 connected || atf_fail "not connected"
	visit 127.1.8.2
	wait_for 3 stored 127.1.8.2 || atf_fail "not in the server"
	in_redis flushall >/dev/null
	visit 127.1.8.2
	wait_line "$log" 'PASS OLD \[127\.1\.8\.2\]'
	stranger 127.1.8.3
	wait_for 3 stored 127.1.8.3 || atf_fail "not in the server"
	visit 127.1.8.3 "$addr2"
	wait_line $log2 'PASS OLD \[127\.1\.8\.3\]'
	both_stop
}

system_case stopped_and_restarted
stopped_and_restarted_body()
{
	setup
	redis
	two_hosts
	wait_for 5 connected || atf_fail "not connected"
	# Busy for long, then stopped: connections stay open, and nothing comes.
	in_redis debug sleep 3 >/dev/null &
	sleep 0.2
	stranger 127.1.8.10
	wait $!
	kill -STOP "$(pid_of redis)"
	stranger 127.1.8.11
	stranger 127.1.8.12
	wait_line "$log" 'warning: cache redis://.*: .* -- records are not shared for now'
	not_up() { ctl metrics | grep -qx 'gatehouse_share_up [01]'; }
	wait_for 5 not_up || atf_fail "the metrics say that all is well"
	kill -CONT "$(pid_of redis)"
	kill -9 "$(pid_of redis)"
	stranger 127.1.8.13
	# Back, it is found by itself, within the half minute that it is left alone at most.
	redis
	wait_for 35 connected || atf_fail "not connected again"
	wait_line "$log" 'records are shared again'
	stranger 127.1.8.14
	wait_for 3 stored 127.1.8.14 || atf_fail "not in the server"
	visit 127.1.8.14 "$addr2"
	wait_line $log2 'PASS OLD \[127\.1\.8\.14\]'
	both_stop
}

# liar REPLY: what answers each line at the server's port with this
liar()
{
	start liar perl -MIO::Socket::INET -e '
	    $SIG{CHLD} = "IGNORE";
	    my $s = IO::Socket::INET->new(LocalAddr => $ARGV[0], LocalPort => 6379, Listen => 99, ReuseAddr => 1) or die;
	    while (my $c = $s->accept) {
		next if fork;
		while (sysread($c, my $in, 4096)) { syswrite($c, eval "qq($ARGV[1])") or last }
		exit;
	    }' "$addr" "$1"
	wait_port "$addr" 6379
}

# Servers that answer wrongly: another protocol, too much, nonsense for a record, never the end of a reply.
system_case liars
liars_body()
{
	local n=20 reply reason
	setup
	one_host
	while read -r reason reply; do
		liar "$reply"
		gatehouse_start
		stranger "127.1.8.$n"
		[ "$reason" = - ] || wait_line "$log" "cache redis://.*: .*$reason" 5
		visit "127.1.8.$n"
		wait_line "$log" "PASS OLD \[127.1.8.$n\]"
		gatehouse_stop
		stop liar || true
		: >"$log"
		n=$((n + 1))
	done <<-'END'
	protocol HTTP/1.1 400 Bad Request\r\n\r\n
	protocol \0\1\2\3
	more.than.it.was.asked +OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n
	- +OK\r\n
	refuses.us -ERR no\r\n
	refuses.us \$11\r\n99999999999\r\n
	protocol *1000000\r\n
	not.answer \$1000000\r\nx
	END
}

system_case wrong_password
wrong_password_body()
{
	setup
	redis_start "$addr" 6379 --requirepass other
	two_hosts
	stranger 127.1.8.40
	wait_line "$log" 'warning: cache redis://.*: refuses us: WRONGPASS'
	# The password is in no log, and not to be seen by who lists the configuration.
	! grep -h 'open sesame' "$log" || atf_fail "the password is logged"
	rm password
	atf_check -s exit:78 -o ignore -e match:'password: No such file' "$build/gatehouse" -c "$work/conf" -t
	both_stop
}

# A read-only replica takes no records, and is asked all the same.
system_case read_only_server
read_only_server_body()
{
	setup
	redis
	two_hosts
	wait_for 5 connected || atf_fail "not connected"
	in_redis set site1:127.1.8.50 '4000000000;4000000000;1;1;1' ex 1000 >/dev/null
	in_redis replicaof 127.0.0.1 1 >/dev/null
	stranger 127.1.8.51
	wait_line "$log" 'warning: cache redis://.*: refuses: READONLY'
	visit 127.1.8.50 "$addr2"
	wait_line $log2 'PASS OLD \[127\.1\.8\.50\]'
	both_stop
}

atf_init_test_cases()
{
	for name in two_hosts flushed stopped_and_restarted liars wrong_password read_only_server; do
		atf_add_test_case $name
	done
}
