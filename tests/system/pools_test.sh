# Pools of senders: SPF records of a real authoritative server, walked by the daemon.

top=@abs_top_srcdir@ build=@abs_top_builddir@
. "$top/tests/helpers/lib.subr"

# The zone of all cases: good domains, and those that must not become a set.
write_zone()
{
	cat >t.zone <<-'END'
	$ORIGIN t.
	$TTL 600
	@ SOA ns.t. me.t. 1 3600 600 86400 60
	@ NS ns.t.
	ns A 127.0.0.1
	big TXT "v=spf1 ip4:192.0.2.0/24 include:more.t redirect=last.t"
	more TXT "v=spf1 ip6:2001:db8::/32 a:host.t mx:mail.t/28 -all"
	host A 203.0.113.1
	mail MX 10 mx1.t.
	mx1 A 203.0.113.33
	last 300 TXT "v=spf1 ip4:198.51.100.0/25 -ip4:198.51.100.9 -all"
	loop TXT "v=spf1 include:ring.t -all"
	ring TXT "v=spf1 include:loop.t -all"
	voids TXT "v=spf1 a:v1.t a:v2.t a:v3.t -all"
	everybody TXT "v=spf1 +all"
	END
	{
		printf 'eleven TXT "v=spf1"'
		for i in 1 2 3 4 5 6 7 8 9 10 11; do printf ' " include:n%d.t"' $i; done
		printf ' " -all"\n'
		for i in 1 2 3 4 5 6 7 8 9 10 11; do printf 'n%d TXT "v=spf1 ip4:203.0.113.%d -all"\n' $i $i; done
		# 30 kB in one answer: over TCP only; and one that fits no answer of ours.
		printf 'huge TXT "v=spf1"'
		for i in $(seq 700); do printf ' " ip4:198.18.%d.%d"' $((i / 250)) $((i % 250)); done
		printf ' " -all"\n'
		printf 'huger TXT "v=spf1"'
		for i in $(seq 1500); do printf ' " ip4:198.18.%d.%d"' $((i / 250)) $((i % 250)); done
		printf ' " -all"\n'
	} >>t.zone
}

pools_config() # further lines from standard input
{
	{
		cat <<-END
		gatehouse_listen = { $addr:2525, proxy=yes }
		gatehouse_proxy_networks = 127.0.0.0/8
		gatehouse_dns_servers = $addr:5300
		END
		cat
	} | gatehouse_config
}

from_proxy() # ADDRESS
{
	atf_check -o ignore talk "$addr:2525" "> PROXY TCP4 $1 203.0.113.1 4000 25" 220 '> EHLO c.example.test' 250 '> QUIT' 221 eof
}

held() # ADDRESS: as a stranger is
{
	from_proxy "$1"
	wait_line "$log" "PASS NEW \[$1\]"
}

not_held() # ADDRESS
{
	from_proxy "$1"
	! grep -q "PASS NEW \[$1\]" "$log" || atf_fail "$1 is held"
}

pool() # JQ-FILTER: of big.t, as the daemon tells it
{
	ctl --json pools | jq -r 'select(.name == "big.t") | '"$1"
}

pool_is() # JQ-FILTER VALUE
{
	[ "$(pool "$1")" = "$2" ]
}

no_pools() # not as expected
{
	ctl pools >pools
	fail_with pools
}

system_case walked_by_the_daemon
walked_by_the_daemon_body()
{
	setup
	write_zone
	nsd_start "$addr" 5300
	pools_config <<-END
	gatehouse_pool_domains = big.t
	gatehouse_pool_prefixes = 198.51.100.128/25
	END
	atf_check -s exit:3 -e match:'does gatehouse run' -e match:'pools --walk' "$build/gatehousectl" -c "$work/conf" pools
	gatehouse_start
	wait_for 10 pool_is .count 6 || no_pools
	atf_check -o match:'^big.t: 6 networks from its SPF record, [0-9]+ s old, again in (29|300)' \
	    -o match:'^  from big.t, good for 600 s$' -o match:'^    192.0.2.0/24$' \
	    -o match:'^  from big.t > include:more.t, good' -o match:'^    2001:db8::/32$' \
	    -o match:'^  from big.t > include:more.t > mx:mail.t/28' -o match:'^    203.0.113.32/28$' \
	    -o match:'^  from big.t > redirect=last.t, good for 300 s$' -o match:'^    not 198.51.100.9/32$' \
	    -o match:'^198.51.100.128/25: 1 networks from gatehouse_pool_prefixes; record under 198.51.100.128$' \
	    "$build/gatehousectl" -c "$work/conf" pools
	atf_check_equal 'big.t include:more.t a:host.t' "$(pool '.sources[] | select(.path[-1] == "a:host.t") | .path | join(" ")')"
	# Its hosts are not held, by either worker; strangers are, and who is taken out of the set.
	for i in 1 2 3 4 5 6 7 8; do not_held 192.0.2.$i; done
	not_held 203.0.113.40
	held 198.51.100.9
	held 203.0.113.2
	# One host of a prefix passes for all.
	held 198.51.100.130
	wait_for 3 known 198.51.100.128 || atf_fail "no record of the prefix"
	from_proxy 198.51.100.131
	wait_line "$log" 'PASS OLD \[198\.51\.100\.131\]'
	# What explains a client knows its pool.
	atf_check -o match:'^pool: big.t$' -o match:'^due now: nothing$' -o match:'^verdict: pass_old' \
	    "$build/gatehousectl" -c "$work/conf" explain 192.0.2.99
	atf_check -o match:'"pool":"198.51.100.128/25","record":.*"verdict":"pass_old"' \
	    "$build/gatehousectl" -c "$work/conf" --json explain 198.51.100.200
	atf_check -o match:'"pool":null,"record":null' "$build/gatehousectl" -c "$work/conf" --json explain 203.0.113.99
	atf_check -o match:'^gatehouse_pool_networks.pool="big.t". 6' -o match:'^gatehouse_pool_failed.pool="big.t". 0' \
	    "$build/gatehousectl" -c "$work/conf" metrics
	gatehouse_stop
}

# Nobody forgets it: not a reload, not the death of every worker, while DNS is dead.
system_case last_good_set
last_good_set_body()
{
	setup
	write_zone
	nsd_start "$addr" 5300
	pools_config <<-END
	gatehouse_pool_domains = big.t
	END
	gatehouse_start
	wait_for 10 pool_is .count 6 || no_pools
	stop nsd
	sleep 1
	gatehouse_reload
	not_held 192.0.2.10
	pool_is '.count == 6 and .age >= 1 and .error == null' true || no_pools
	for pid in $(gatehouse_workers); do kill -9 "$pid"; done
	wait_port "$addr" 2525
	for i in 11 12 13 14 15 16; do not_held 192.0.2.$i; done
	pool_is '.count == 6 and .age >= 1' true || no_pools
	# A domain that comes with a reload is walked, in vain; the one before stays as it is.
	sed -i 's/^gatehouse_pool_domains.*/gatehouse_pool_domains = big.t, more.t/' conf/main.cf
	gatehouse_reload
	failed() { ctl pools | grep -q '^  problem: more.t: no answer from DNS'; }
	wait_for 15 failed || no_pools
	not_held 192.0.2.17
	atf_check -o match:'^gatehouse_pool_failed.pool="more.t". 1' -o match:'^gatehouse_pool_failed.pool="big.t". 0' \
	    "$build/gatehousectl" -c "$work/conf" metrics
	wait_line "$log" 'warning: pool more.t: more.t: no answer from DNS -- its hosts are screened as any other'
	gatehouse_stop
}

# Records that are no set: each says why, and nobody is spared for it.
system_case bad_records
bad_records_body()
{
	setup
	write_zone
	nsd_start "$addr" 5300
	pools_config <<-END
	gatehouse_pool_domains = loop.t, eleven.t, voids.t, everybody.t, nowhere.t, huger.t, huge.t
	END
	gatehouse_start
	all_walked() { [ "$(ctl --json pools | jq -r 'select(.next >= 0).name' | wc -l)" = 7 ]; }
	wait_for 15 all_walked || no_pools
	ctl pools >pools
	atf_check -o match:'^  problem: (loop|ring).t: more than 10 look-ups .RFC 7208 section 4.6.4.$' \
	    -o match:'^  problem: eleven.t: more than 10 look-ups' -o match:'^  problem: v3.t: more than 2 void look-ups' \
	    -o match:'^  problem: everybody.t: allows everybody' -o match:'^  problem: nowhere.t: no SPF record' \
	    -o match:'^  problem: huger.t: more than one SPF record, or one too long' \
	    -o match:'^eleven.t: 0 networks from its SPF record, never walked well, again in [56][0-9] s' \
	    -o match:'^huge.t: 700 networks' cat pools
	held 203.0.113.1
	not_held 198.18.1.1
	gatehouse_stop
	# The same, asked without a daemon.
	atf_check -s exit:1 -o match:'^  problem: eleven.t: more than 10' -e ignore \
	    "$build/gatehousectl" -c "$work/conf" pools --walk
	atf_check -o match:'^big.t: 6 networks' "$build/gatehousectl" -c "$work/conf" -o gatehouse_pool_domains=big.t pools --walk
}

atf_init_test_cases()
{
	atf_add_test_case walked_by_the_daemon
	atf_add_test_case last_good_set
	atf_add_test_case bad_records
}
