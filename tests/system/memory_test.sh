# The temporary allowlist: kept over restarts and crashes, by hand, shared among hosts, by pool.

top=@abs_top_srcdir@ build=@abs_top_builddir@
. "$top/tests/helpers/lib.subr"

hello="EHLO client.example.test"
from="MAIL FROM:<a@example.net>"
to="RCPT TO:<inbox@example.org>"

# visit ADDRESS [HOST]: a good client, to be told from the log whether it had to wait
visit()
{
	atf_check -o ignore talk -s "$1" "${2:-$addr}:2525" 220 "> $hello" 250 '> QUIT' 221 eof
}

ctl()
{
	"$build/gatehousectl" -c "$work/conf" "$@"
}

known() # ADDRESS: by the store
{
	ctl cache get "$1" >/dev/null 2>&1
}

system_case survives
survives_body()
{
	setup
	gatehouse_config </dev/null
	gatehouse_start
	visit 127.1.6.1
	wait_line "$log" 'PASS NEW \[127\.1\.6\.1\]'
	wait_for 3 known 127.1.6.1 || atf_fail "not committed"
	# A worker is killed: its successor remembers.
	for pid in $(gatehouse_workers); do kill -9 "$pid" 2>/dev/null || true; done
	wait_port "$addr" 2525
	visit 127.1.6.1
	wait_line "$log" 'PASS OLD \[127\.1\.6\.1\]'
	gatehouse_stop
	gatehouse_start
	visit 127.1.6.1
	wait_for 5 twice_known || atf_fail "forgotten over a restart"
	gatehouse_stop
}

twice_known()
{
	[ "$(count "$log" 'PASS OLD \[127\.1\.6\.1\]')" = 2 ]
}

postmap()
{
	LD_LIBRARY_PATH=$(postfix_libraries) "$real/postfix/usr/sbin/postmap" -c "$work/postfix/conf" "$@"
}

system_case from_postfix
from_postfix_body()
{
	setup
	gatehouse_config </dev/null
	later=$(($(date +%s) + 86400))
	printf '127.1.6.2\t%s\n127.1.6.3\t%s\n_LAST_CACHE_CLEANUP_COMPLETED_\t1700000000\n' \
	    "$later;1;1;1;1" "$((later - 100));5;1;1;1" >postscreen_cache
	# Through a real postscreen cache: what Postfix keeps, as its own postmap prints it.
	postfix_make </dev/null
	postmap btree:postscreen_cache || atf_fail "postmap"
	postmap -s btree:postscreen_cache >export || atf_fail "postmap -s"
	rm postscreen_cache postscreen_cache.db
	atf_check -o match:'^2 records imported' sh -c "'$build/gatehousectl' -c '$work/conf' cache import <export"
	gatehouse_start
	visit 127.1.6.2
	wait_line "$log" 'PASS OLD \[127\.1\.6\.2\]'
	# By hand, beside the running daemon.
	atf_check -o ignore "$build/gatehousectl" -c "$work/conf" cache set 127.1.6.4
	visit 127.1.6.4
	wait_line "$log" 'PASS OLD \[127\.1\.6\.4\]'
	atf_check -o ignore "$build/gatehousectl" -c "$work/conf" cache delete 127.1.6.4
	atf_check -s exit:1 -e match:'not in the cache' "$build/gatehousectl" -c "$work/conf" cache get 127.1.6.4
	atf_check -o match:"^127.1.6.2	$later;1;1;1;1\$" -o match:"^127.1.6.3	" "$build/gatehousectl" -c "$work/conf" cache export
	atf_check -o match:'"records":2,' "$build/gatehousectl" -c "$work/conf" --json cache stats
	# And back: postmap takes what export prints.
	"$build/gatehousectl" -c "$work/conf" cache export >postscreen_cache
	postmap btree:postscreen_cache || atf_fail "postmap does not take the export"
	atf_check -o inline:"$later;1;1;1;1\\n" sh -c "LD_LIBRARY_PATH=$(postfix_libraries) \
	    '$real/postfix/usr/sbin/postmap' -c '$work/postfix/conf' -q 127.1.6.2 btree:postscreen_cache"
	atf_check -s exit:1 -o match:'^0 records' -e match:'line 1: not an address' \
	    sh -c "echo junk | '$build/gatehousectl' -c '$work/conf' cache import"
	gatehouse_stop
}

system_case wrong_owner
wrong_owner_body()
{
	setup
	gatehouse_config </dev/null
	mkdir -m 0700 data/cache
	chown daemon data/cache
	gatehouse_start
	wait_line "$log" 'warning: cache lmdb:.*: cannot open: belongs to user id 1, not'
	visit 127.1.6.6
	wait_line "$log" 'PASS NEW \[127\.1\.6\.6\]'
	# When the cause is gone the memory comes back, for the jailed workers too.
	chown nobody data/cache
	wait_line "$log" 'works again' 10
	remembered() { visit 127.1.6.7; grep -q 'PASS OLD \[127\.1\.6\.7\]' "$log"; }
	wait_for 5 remembered || atf_fail "no memory after the repair"
	gatehouse_stop
}

# second_host: a second Gatehouse on $addr2 with a folder of its own, and a pause nobody waits out
second_host()
{
	mkdir -p conf2 data2
	chmod 755 conf2 data2
	sed -e "s/$addr:2525/$addr2:2525/" -e "s,$work/control,$work/control2," -e "s,$work/data,$work/data2," \
	    -e "s,$work/records,$work/records2," -e 's/^postscreen_greet_wait.*/postscreen_greet_wait = 30s/' \
	    conf/main.cf >conf2/main.cf
	ASAN_OPTIONS=$asan_options:detect_leaks=0 start gatehouse2 "$build/gatehouse" -c "$work/conf2" -f
	wait_port "$addr2" 2525
}

system_case two_hosts
two_hosts_body()
{
	setup
	redis_start "$addr" 6379
	gatehouse_config <<-END
	gatehouse_cache_server = redis://$addr:6379/2
	END
	gatehouse_start
	second_host
	in_redis() { redis-cli -h "$addr" -n 2 exists gatehouse:127.1.6.8 | grep -q 1; }
	wait_for 5 shared_up || atf_fail "not connected"
	visit 127.1.6.8
	wait_for 3 in_redis || atf_fail "not in the Redis server"
	# The other host has never met it, and lets it in during the first moments of its long pause.
	visit 127.1.6.8 "$addr2"
	wait_line log/gatehouse2 'PASS OLD \[127\.1\.6\.8\]'
	# A server that does not answer delays nobody.
	kill -STOP "$(pid_of redis)"
	visit 127.1.6.9
	wait_line "$log" 'PASS NEW \[127\.1\.6\.9\]'
	kill -CONT "$(pid_of redis)"
	stop redis
	visit 127.1.6.10
	wait_line "$log" 'PASS NEW \[127\.1\.6\.10\]'
	wait_line "$log" 'records are not shared for now'
	stop gatehouse2
	gatehouse_stop
}

# Both hosts have logged in: a worker each at least, or it is asked too early.
shared_up()
{
	[ "$(redis-cli -h "$addr" client list | grep -c 'cmd=ping')" -ge 4 ]
}

system_case pools
pools_body()
{
	setup
	cat >t.zone <<-'END'
	$ORIGIN t.
	$TTL 600
	@ SOA ns.t. me.t. 1 3600 600 86400 60
	@ NS ns.t.
	ns A 127.0.0.1
	big TXT "v=spf1 ip4:192.0.2.0/24 include:more.t -all"
	more TXT "v=spf1 ip6:2001:db8::/32 -all"
	loop TXT "v=spf1 include:loop.t -all"
	END
	cat >nsd.conf <<-END
	server:
	 ip-address: $addr@5300
	 username: ""
	 zonesdir: "$work"
	 pidfile: "$work/nsd.pid"
	 xfrdfile: "$work/xfrd.state"
	 zonelistfile: "$work/zone.list"
	 database: ""
	 server-count: 1
	remote-control:
	 control-enable: no
	zone:
	 name: t
	 zonefile: t.zone
	END
	start nsd nsd -d -c "$work/nsd.conf"
	wait_port "$addr" 5300
	gatehouse_config <<-END
	gatehouse_listen = { $addr:2525, proxy=yes }
	gatehouse_proxy_networks = 127.0.0.0/8
	gatehouse_dns_servers = $addr:5300
	gatehouse_pool_domains = big.t
	gatehouse_pool_prefixes = 198.51.100.0/24
	END
	atf_check -o match:'^big.t: 2 networks from its SPF record' -o match:'^  192.0.2.0/24$' \
	    -o match:'^198.51.100.0/24: 1 networks' "$build/gatehousectl" -c "$work/conf" pools
	atf_check -s exit:1 -o match:'problem: loop.t: more than 10 look-ups' -e ignore \
	    "$build/gatehousectl" -c "$work/conf" -o gatehouse_pool_domains=loop.t pools
	gatehouse_start
	# A host of the pool is not held; a stranger is.
	walked() { talk -q "$addr:2525" "> PROXY TCP4 192.0.2.77 203.0.113.1 4000 25" 220 "> $hello" 250 '> QUIT' 221 eof &&
	    ! grep -q 'PASS NEW \[192\.0\.2\.77\]' "$log"; }
	wait_for 10 walked || atf_fail "the pool is held"
	from_proxy 203.0.113.9
	wait_line "$log" 'PASS NEW \[203\.0\.113\.9\]'
	# One host of a prefix passes for all.
	from_proxy 198.51.100.7
	wait_line "$log" 'PASS NEW \[198\.51\.100\.7\]'
	pool_known() { known 198.51.100.0; }
	wait_for 3 pool_known || atf_fail "no record of the prefix"
	from_proxy 198.51.100.8
	wait_line "$log" 'PASS OLD \[198\.51\.100\.8\]'
	gatehouse_stop
}

from_proxy()
{
	atf_check -o ignore talk "$addr:2525" "> PROXY TCP4 $1 203.0.113.1 4000 25" 220 "> $hello" 250 '> QUIT' 221 eof
}

atf_init_test_cases()
{
	atf_add_test_case survives
	atf_add_test_case from_postfix
	atf_add_test_case wrong_owner
	atf_add_test_case two_hosts
	atf_add_test_case pools
}
