# The lists, asked over real DNS: rbldnsd in every mood, unbound in front of it, and a server that breaks
# the rules. Every case ends in a client's verdict.

top=@abs_top_srcdir@ build=@abs_top_builddir@
. "$top/tests/helpers/lib.subr"

# score SITES CLIENT [OPTION...]: the output in the file score
score()
{
	local sites=$1 client=$2
	shift 2
	ASAN_OPTIONS=$asan_options:detect_leaks=0 "$build/gatehousectl" -o gatehouse_dns_servers="$servers" "$@" \
	    score --sites "$sites" "$client" >score 2>score.err || atf_fail "score: $(cat score.err)"
	cat score score.err
}

verdict() # WORD: the last score's
{
	grep -qx "verdict $1" score || atf_fail "verdict is not $1: $(cat score)"
}

health() # SITES
{
	ASAN_OPTIONS=$asan_options:detect_leaks=0 "$build/gatehousectl" -o gatehouse_dns_servers="$servers" \
	    -o postscreen_dnsbl_sites="$1" dnsbl health >health 2>health.err
	set -- $?
	cat health health.err
	return "$1"
}

# A zone file with the head every zone needs; entries from standard input.
zone()
{
	{
		echo "\$SOA 300 ns.example root.example 0 600 300 86400 120"
		cat
	} >"$1"
}

# The honest list most cases compare with: 192.0.2.1 and the test point are on it.
good_zone()
{
	printf ':127.0.0.2:listed\n127.0.0.2\n192.0.2.1\n' | zone good
}

# rbldnsd refuses to run as root.
serve() # ZONE:TYPE:FILE...
{
	: >log/rbldnsd
	start rbldnsd rbldnsd -n -f -w "$work" -b "$addr/5300" -u nobody "$@"
	wait_line log/rbldnsd "started"
}

dns_up() # ZONE:TYPE:FILE...
{
	servers=$addr:5300
	serve "$@"
}

system_case honest_list
honest_list_body()
{
	setup
	good_zone
	dns_up good.example:ip4set:good
	score good.example 192.0.2.1
	verdict fail
	grep -qx "good.example 1 listed 127.0.0.2" score || atf_fail "no listing"
	score good.example 192.0.2.9
	verdict pass
	grep -qx "ttl 120" score || atf_fail "not the SOA's time to live" # rbldnsd sends it with MINIMUM
	health good.example
	grep -qx "good.example healthy" health || atf_fail "not healthy"
}

system_case several_addresses
several_addresses_body()
{
	setup
	printf '192.0.2.1 :127.0.0.2:\n' | zone one
	printf '192.0.2.1 :127.0.0.10:\n' | zone two
	dns_up multi.example:ip4set:one multi.example:ip4set:two
	score 'multi.example=127.0.0.2*3 multi.example=127.0.0.10*-1' 192.0.2.1
	grep -qx "total 2" score || atf_fail "not 3 - 1"
	verdict fail
}

system_case ipv6_list
ipv6_list_body()
{
	setup
	printf ':127.0.0.2:\n2001:db8::/64\n::ffff:7f00:2/128\n' | zone six
	dns_up six.example:ip6trie:six
	score '{ six.example, family=ipv6 }' 2001:db8::1
	verdict fail
	score '{ six.example, family=ipv6 }' 192.0.2.1
	verdict pass
	health '{ six.example, family=ipv6 }'
	grep -qx "six.example healthy" health || atf_fail "test points of IPv6 not found"
}

system_case error_codes_are_no_listing
error_codes_are_no_listing_body()
{
	setup
	good_zone
	echo '127.0.0.0/8 :127.255.255.254:public resolver' >acl
	dns_up zen.example:acl:acl zen.example:ip4set:good
	score 'zen.example*3' 192.0.2.1
	verdict pass
	grep -q "distrusted: questions through a public or shared resolver" score || atf_fail "no reason given"
	health zen.example && atf_fail "exit 0 although blocked"
	grep -q "^zen.example blocked: " health || atf_fail "not blocked"
}

system_case quota_code_of_an_allow_list
quota_code_of_an_allow_list_body()
{
	setup
	echo '127.0.0.0/8 :127.0.10.3:quota' >acl
	printf ':127.0.5.3:\n192.0.2.1\n127.0.0.2\n' | zone wl
	dns_up list.dnswl.org:acl:acl list.dnswl.org:ip4set:wl
	score 'list.dnswl.org=127.0.[0..255].3*-8' 192.0.2.1 -o postscreen_dnsbl_allowlist_threshold=-2
	verdict pass
	stop rbldnsd
	dns_up list.dnswl.org:ip4set:wl
	score 'list.dnswl.org=127.0.[0..255].3*-8' 192.0.2.1 -o postscreen_dnsbl_allowlist_threshold=-2
	verdict allow
}

system_case operators_error_code
operators_error_code_body()
{
	setup
	printf ':127.0.0.99:\n192.0.2.1\n' | zone own
	dns_up own.example:ip4set:own
	score own.example 192.0.2.1
	verdict fail
	score own.example 192.0.2.1 -o gatehouse_dnsbl_error_codes=own.example=127.0.0.99
	verdict pass
}

system_case lists_the_world
lists_the_world_body()
{
	setup
	good_zone
	echo '0.0.0.0/0 :127.0.0.2:' | zone world
	dns_up world.example:ip4trie:world good.example:ip4set:good
	score 'world.example*5' 192.0.2.9
	verdict pass
	score 'world.example*5 good.example' 192.0.2.1
	grep -qx "total 1" score || atf_fail "the honest list must still count, and only it"
	verdict fail
	health world.example && atf_fail "exit 0 although dead"
	grep -q "^world.example dead: it lists what cannot be listed" health || atf_fail "not found out"
	score '{ world.example*5, probe=no }' 192.0.2.9
	verdict fail
}

system_case parked_domain
parked_domain_body()
{
	setup
	echo '0.0.0.0/0 :203.0.113.80:' | zone parked
	dns_up parked.example:ip4trie:parked
	score 'parked.example*5' 192.0.2.9
	verdict pass
	score '{ parked.example*5, truth=no, probe=no }' 192.0.2.9
	verdict fail
}

system_case refusing_and_silent_lists
refusing_and_silent_lists_body()
{
	setup
	good_zone
	echo '127.0.0.0/8 :refuse' >refuse
	echo '127.0.0.0/8 :ignore' >ignore
	echo '127.0.0.0/8 :empty' >empty
	dns_up refuse.example:acl:refuse refuse.example:ip4set:good ignore.example:acl:ignore \
	    ignore.example:ip4set:good empty.example:acl:empty empty.example:ip4set:good good.example:ip4set:good
	score 'refuse.example*5 ignore.example*5 empty.example*5' 192.0.2.1 -o postscreen_dnsbl_timeout=2s
	verdict pass
	score 'refuse.example*5 ignore.example*5 empty.example*5 good.example' 192.0.2.1 \
	    -o postscreen_dnsbl_timeout=2s
	verdict fail
	grep -qx "total 1" score || atf_fail "only the honest list counts"
	grep -q "^ignore.example 0 failed: no answer in time" score || atf_fail "the silent list has not failed"
}

system_case stripped_by_the_resolver
stripped_by_the_resolver_body()
{
	setup
	good_zone
	serve good.example:ip4set:good
	unbound_start "$addr2" 5301 "$addr" 5300 good.example
	servers=$addr2:5301
	wait_for 5 health good.example || atf_fail "unbound does not answer"
	score good.example 192.0.2.1
	verdict fail
	stop unbound
	sed -i 's/^server:/server:\n private-address: 127.0.0.0\/8/' unbound.conf
	start unbound unbound -d -p -c "$work/unbound.conf"
	wait_for 5 health good.example || atf_fail "unbound does not answer"
	score good.example 192.0.2.1
	verdict pass
	grep -q "^good.example suspect: it does not list 127.0.0.2" health || atf_fail "stripping not noticed"
}

system_case dead_server_first
dead_server_first_body()
{
	setup
	good_zone
	dns_up good.example:ip4set:good
	servers="$addr2:5399 $addr:5300" # nobody there: refused at once
	score good.example 192.0.2.1
	verdict fail
	start silent "$build/tests/helpers/dns_liar" "$addr2" 5398 "$addr"
	wait_for 5 kill -0 "$started"
	servers="$addr2:5398 $addr:5300"
	printf ':127.0.0.2:\n192.0.2.1\n' | zone silent
	stop rbldnsd
	serve silent.example:ip4set:silent
	score '{ silent.example, probe=no }' 192.0.2.1
	verdict fail
}

liar_up()
{
	setup
	start liar "$build/tests/helpers/dns_liar" "$addr" 5300 "$addr2"
	servers=$addr:5300
	wait_port "$addr" 5300
}

system_case rule_breakers
rule_breakers_body()
{
	local zone sites="good.example" bad="wrongid wrongquestion wrongaddr silent short broken many loop servfail refused"
	liar_up
	for zone in $bad; do sites="$sites { $zone.example*5, probe=no }"; done
	score "$sites" 192.0.2.1 -o postscreen_dnsbl_timeout=2s -o postscreen_dnsbl_threshold=2
	verdict pass
	grep -qx "total 1" score || atf_fail "the honest list must count, and only it"
	for zone in $bad; do
		grep -q "^$zone.example 0 failed: " score || atf_fail "$zone has not failed"
	done
}

system_case unusual_but_right
unusual_but_right_body()
{
	local zone
	liar_up
	for zone in cname truncated slow; do
		score "{ $zone.example, probe=no }" 192.0.2.1
		verdict fail
		score "{ $zone.example, probe=no }" 192.0.2.9
		verdict pass
	done
}

# The same in a jailed worker of the daemon: a listed client is refused, the next one is let in.
system_case the_daemon_refuses
the_daemon_refuses_body()
{
	setup
	printf ':127.0.0.2:listed\n127.0.0.2\n127.1.0.1\n' | zone good
	dns_up good.example:ip4set:good
	gatehouse_config <<-END
	gatehouse_dns_servers = $addr:5300
	postscreen_dnsbl_sites = good.example*2
	postscreen_dnsbl_action = enforce
	END
	gatehouse_start
	! try_mail 127.1.0.1 2525 || atf_fail "a listed client was let in"
	wait_line "$log" 'dnsblog\[[0-9]+\]: addr 127.1.0.1 listed by domain good.example as 127.0.0.2'
	wait_line "$log" 'postscreen\[[0-9]+\]: DNSBL rank 2 for \[127.1.0.1\]'
	atf_check -o match:'550 5.7.1 Service unavailable; client \[127.1.0.1\] blocked using good.example' cat swaks
	send_mail 127.1.0.2 2525
	wait_line "$log" 'PASS NEW \[127.1.0.2\]'
	gatehouse_stop
}

# A signal votes in the daemon too, and whoever walks over all voters walks over it.
system_case the_daemon_heeds_signals
the_daemon_heeds_signals_body()
{
	setup
	good_zone
	dns_up good.example:ip4set:good
	printf '127.1.0.3/32\n' >drop.txt
	gatehouse_config <<-END
	gatehouse_dns_servers = $addr:5300
	postscreen_dnsbl_sites = good.example
	postscreen_dnsbl_action = enforce
	gatehouse_score_rules = cidr:$work/drop.txt*3
	END
	gatehouse_start
	! try_mail 127.1.0.3 2525 || atf_fail "a client on the feed was let in"
	atf_check -o match:'blocked using cidr:drop.txt' cat swaks
	wait_line "$log" 'addr 127.1.0.3 has signal cidr:drop.txt'
	send_mail 127.1.0.4 2525
	sleep 2 # the tallies of health are drawn up meanwhile
	gatehouse_stop
}

# The session record names the client's country, network and name, and what each voter said.
system_case records_say_why
records_say_why_body()
{
	setup
	unbound_knows "$addr" 5301 <<-END
	3.0.1.127.in-addr.arpa. PTR dyn-3.client.test.
	dyn-3.client.test. A 127.1.0.3
	3.0.1.127.bl.example. A 127.0.0.2
	END
	printf '127.1.0.3/32\n' >drop.txt
	printf '127.1.0.0/30 country XX\n' | "$build/tests/helpers/mmdb_write" country.mmdb || atf_fail "mmdb_write"
	printf '127.1.0.0/24 asn 64500\n' | "$build/tests/helpers/mmdb_write" asn.mmdb || atf_fail "mmdb_write"
	printf '/^dyn-/ DYNAMIC\n' >names.pcre
	gatehouse_config <<-END
	gatehouse_dns_servers = $addr:5301
	postscreen_dnsbl_sites = { bl.example, probe=no }
	gatehouse_geo_files = $work/country.mmdb $work/asn.mmdb
	gatehouse_score_rules = cidr:$work/drop.txt*3 ptr:pcre:$work/names.pcre*2 ptr:missing*4
	END
	gatehouse_start
	talk -q -s 127.1.0.3 "$addr:2525" 220 '> QUIT' 221 eof
	wait_for 5 grep -qF '"client":"127.1.0.3"' records || atf_fail "no record"
	atf_check -o inline:'["XX",64500,"dyn-3.client.test"]\n' jq -c '[.country, .asn, .ptr]' records
	atf_check -o inline:'[["bl.example",true,1]]\n' jq -c '.dnsbl | map([.site, .listed, .score])' records
	atf_check -o inline:'[["cidr:drop.txt",true,3],["ptr:pcre:'"$work"'/names.pcre",true,2],["ptr:missing",false,0]]\n' \
	    jq -c '.signals | map([.signal, .matched, .score])' records
	talk -q -s 127.1.0.9 "$addr:2525" 220 '> QUIT' 221 eof
	wait_for 5 grep -qF '"client":"127.1.0.9"' records || atf_fail "no record"
	atf_check -o inline:'[null,64500,null,4]\n' \
	    jq -c 'select(.client == "127.1.0.9") | [.country, .asn, .ptr, .score]' records
	# The tuner reads all that, and knows that a signal is no list.
	atf_check -o save:report "$build/gatehouse-tune" -c "$work/conf" records "$log"
	grep -q 'bl\.example' report || atf_fail "the list is missing: $(cat report)"
	! grep -E 'signal|drop\.txt' report || atf_fail "a signal is taken for a list"
	gatehouse_stop
}

# A list that begins to list the world while the daemon runs: few are refused before it is found out.
system_case a_list_turns_on_everyone
a_list_turns_on_everyone_body()
{
	local i refused
	setup
	printf '192.0.2.1/32 :127.0.0.2:\n127.0.0.2/32 :127.0.0.2:\n' | zone turn
	servers=$addr:5300
	: >log/rbldnsd
	start rbldnsd rbldnsd -n -f -c 1s -w "$work" -b "$addr/5300" -u nobody turn.example:ip4trie:turn
	wait_line log/rbldnsd "started"
	gatehouse_config <<-END
	gatehouse_dns_servers = $addr:5300
	postscreen_dnsbl_sites = turn.example
	postscreen_dnsbl_action = enforce
	END
	gatehouse_start
	send_mail 127.1.0.5 2525
	sleep 1.1
	printf '0.0.0.0/0 :127.0.0.2:\n' | zone turn
	wait_for 10 turned || atf_fail "rbldnsd has not read the new zone"
	i=0
	while [ $i -lt 60 ]; do
		i=$((i + 1))
		talk -q -s 127.1.1.$i -w 8000 "$addr:2525" 220 '> EHLO c.example.test' 250 \
		    '> MAIL FROM:<a@example.net>' 250 '> RCPT TO:<inbox@example.org>' 250 '> QUIT' 221 \
		    >"talk.$i" 2>&1 &
	done
	wait_line "$log" 'DNSBL turn.example is dead and not obeyed' 10
	sleep 3
	refused=$(count "$log" 'NOQUEUE: reject: RCPT from .127\.1\.1\.[0-9]+.*blocked using turn.example')
	[ "$refused" -le 20 ] || atf_fail "$refused of 60 clients were refused"
	echo "$refused of 60 refused, $(count "$log" 'PASS NEW .127\.1\.1\.') passed"
	[ $((refused + $(count "$log" 'PASS NEW .127\.1\.1\.'))) -eq 60 ] || atf_fail "some were neither refused nor passed"
	gatehouse_stop
}

turned()
{
	score '{ turn.example, probe=no }' 192.0.2.77 >/dev/null && grep -qx "total 1" score
}

# Local signals: feeds, country and network, and the client's name, with and without a list beside them.
signals() # RULES CLIENT [OPTION...]
{
	local rules=$1 client=$2
	shift 2
	score good.example "$client" -o gatehouse_score_rules="$rules" "$@"
}

system_case local_signals
local_signals_body()
{
	setup
	good_zone
	dns_up good.example:ip4set:good
	printf '198.51.100.0/24 ; SBL1\n' >drop.txt
	signals "cidr:$work/drop.txt*3" 198.51.100.7
	verdict fail
	grep -qx "name cidr:drop.txt" score || atf_fail "the signal's name is not given"
	signals "cidr:$work/drop.txt*3" 198.51.101.7
	verdict pass
	printf '198.51.100.0/24 country XX\n203.0.113.0/24 country YY\n' |
	    "$build/tests/helpers/mmdb_write" country.mmdb || atf_fail "mmdb_write"
	printf '198.51.100.0/25 asn 64500\n' | "$build/tests/helpers/mmdb_write" asn.mmdb || atf_fail "mmdb_write"
	set -- -o gatehouse_geo_files="$work/country.mmdb $work/asn.mmdb"
	signals "country:KP,XX*2 asn:64500*4" 198.51.100.7 "$@"
	grep -qx "total 6" score || atf_fail "country and network"
	signals "country:KP,XX*2 asn:64500*4" 198.51.100.200 "$@"
	grep -qx "total 2" score || atf_fail "country alone"
	signals "country:KP,XX*2 asn:64500*4" 203.0.113.1 "$@"
	verdict pass
}

system_case names_of_clients
names_of_clients_body()
{
	setup
	unbound_knows "$addr" 5301 <<-END
	1.100.51.198.in-addr.arpa. PTR mail.client.test.
	mail.client.test. A 198.51.100.1
	2.100.51.198.in-addr.arpa. PTR mail.client.test.
	3.100.51.198.in-addr.arpa. PTR dyn-3.pool.client.test.
	dyn-3.pool.client.test. A 198.51.100.3
	END
	servers=$addr:5301
	printf '/^dyn-/ DYNAMIC\n' >names.pcre
	set -- "ptr:missing*1 ptr:unconfirmed*2 ptr:pcre:$work/names.pcre*4"
	wait_for 5 signals_total 0 "$1" 198.51.100.1 || atf_fail "a good name counted: $(cat score)"
	signals_total 2 "$1" 198.51.100.2 || atf_fail "an unconfirmed name: $(cat score)"
	signals_total 4 "$1" 198.51.100.3 || atf_fail "a dynamic name: $(cat score)"
	signals_total 1 "$1" 198.51.100.4 || atf_fail "no name: $(cat score)"
	signals_total 0 "$1" 10.1.2.3 || atf_fail "a private client: $(cat score)"
	stop unbound
	signals_total 0 "$1" 198.51.100.4 -o postscreen_dnsbl_timeout=1s || atf_fail "trouble counted: $(cat score)"
}

signals_total() # TOTAL RULES CLIENT [OPTION...]
{
	local total=$1
	shift
	signals "$@" >/dev/null
	grep -qx "total $total" score
}

system_case secrets_stay_secret
secrets_stay_secret_body()
{
	setup
	good_zone
	key=abcdefghij0123456789klmnop
	dns_up $key.zen.dq.spamhaus.net:ip4set:good
	score $key.zen.dq.spamhaus.net 192.0.2.1
	verdict fail
	! grep -q "$key" score score.err || atf_fail "the key is shown"
	grep -qx "name \*\*\*\*.zen.dq.spamhaus.net" score || atf_fail "not the masked name"
}

system_case configuration_faults
configuration_faults_body()
{
	setup
	atf_check -s exit:78 -e match:'bad DNSBL filter syntax: need ";" or "]" at "1.2.\[1>-<255].5"' \
	    env ASAN_OPTIONS="$asan_options:detect_leaks=0" "$build/gatehousectl" score --sites 'a.example=1.2.[1-255].5' 192.0.2.1
	atf_check -s exit:78 -e match:'DNSBL domain "dnsbl.sorbs.net" is dead' \
	    env ASAN_OPTIONS="$asan_options:detect_leaks=0" "$build/gatehousectl" score --sites dnsbl.sorbs.net 192.0.2.1
}

atf_init_test_cases()
{
	for c in honest_list several_addresses ipv6_list error_codes_are_no_listing quota_code_of_an_allow_list \
	    operators_error_code lists_the_world parked_domain refusing_and_silent_lists stripped_by_the_resolver \
	    dead_server_first rule_breakers unusual_but_right the_daemon_refuses \
	    the_daemon_heeds_signals records_say_why a_list_turns_on_everyone local_signals names_of_clients \
	    secrets_stay_secret configuration_faults; do
		atf_add_test_case $c
	done
}
