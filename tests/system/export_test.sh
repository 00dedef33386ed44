# What Gatehouse gives to other programs, tried with those programs: offenders for firewalls, the files of
# packaging/ for logrotate, rsyslog and bash. (The fail2ban filter: compat_test.)

top=@abs_top_srcdir@ build=@abs_top_builddir@
. "$top/tests/helpers/lib.subr"

parts() # PACKAGE...
{
	"$top/tests/helpers/real-parts" "$real" "$@" >log/real-parts 2>&1 || atf_skip "cannot get $*"
}

programs()
{
	mkdir -p bin
	cat >bin/gatehousectl <<-END
	#!/bin/sh
	ASAN_OPTIONS=$asan_options:detect_leaks=0 exec "$build/gatehousectl" -c "$work/conf" "\$@"
	END
	cat >bin/nft <<-END
	#!/bin/sh
	LD_LIBRARY_PATH=$(libraries_of nftables) exec "$real/nftables/usr/sbin/nft" "\$@"
	END
	chmod +x bin/*
	PATH=$work/bin:$PATH
}

early() # ADDRESS [TIMES]: speaks too early
{
	local family=4
	case $1 in *:*) family=6 ;; esac
	for i in $(seq "${2:-3}"); do
		talk -q -s "${from:-127.77.0.1}" "$addr:2526" \
		    "! PROXY TCP$family $1 ${1%[0-9a-f.:]*}9 4000 25\r\nEHLO early\r\n" eof || atf_fail "$1 is not dropped"
	done
}

# Spoke early once too often, but was let in.
lets_in() # ADDRESS
{
	talk -q -s 127.77.0.1 "$addr:2526" "> PROXY TCP4 $1 192.0.2.250 4000 25" 220 '> QUIT' 221 eof ||
	    atf_fail "$1 does not pass"
}

listed()
{
	gatehousectl offenders --format plain | sort | tr '\n' ' '
}

lists() # ADDRESS...
{
	[ "$(listed)" = "$* " ]
}

system_case offenders
offenders_body()
{
	setup
	parts nftables
	programs
	# An address of this machine that is not a private one, were it to speak to itself.
	gatehouse_config <<-END
	gatehouse_listen = { $addr:2526, proxy=yes }, $addr:2525
	gatehouse_proxy_networks = 127.77.0.0/16, 198.51.100.66, 2001:db8:99::5
	postscreen_access_list = cidr:{{198.51.100.77 permit}, {198.51.100.70 reject}}
	postscreen_denylist_action = drop
	postscreen_greet_action = drop
	mynetworks = 127.0.0.0/30, 192.0.2.0/28, 2001:db8:77:1:8000::/80
	END
	gatehouse_start
	atf_check -o empty gatehousectl offenders --format plain
	early 203.0.113.7 4
	early 203.0.113.8 2
	early 198.51.100.70
	early 2001:db8:1:2::9 1
	early 2001:db8:1:2:ffff::a 2
	early 2001:db8:1:3::9 3
	# Not for a firewall: private, ours, a proxy, and a network that holds one of these.
	early 10.1.2.3
	early 192.168.7.7
	early 100.64.0.9
	early fd00::1
	early fe80::1
	early 192.0.2.9
	early 198.51.100.66
	early 2001:db8:99::6
	early 2001:db8:77:1::1
	# Once he has passed he is none.
	early 203.0.113.9
	wait_for 5 lists 198.51.100.70 2001:db8:1:2::/64 2001:db8:1:3::/64 203.0.113.7 203.0.113.9 ||
	    atf_fail "instead: $(listed)"
	lets_in 203.0.113.9
	wait_for 5 lists 198.51.100.70 2001:db8:1:2::/64 2001:db8:1:3::/64 203.0.113.7 ||
	    atf_fail "one who passed stays: $(listed)"
	atf_check -o match:'^203.0.113.7 +4  pregreet$' -o match:'^203.0.113.8 +2  ' -o match:'^198.51.100.70 +3  deny-list$' \
	    gatehousectl offenders --least 2
	atf_check -o inline:'203.0.113.7\n' gatehousectl offenders --least 4 --format fail2ban
	atf_check -o match:'"address":"203.0.113.7","count":4,' -o not-match:'203.0.113.8' -o not-match:192.168 \
	    sh -c "gatehousectl --json offenders --least 3 | jq -cs ."
	atf_check -s exit:2 -e match:usage gatehousectl offenders --format xml
	atf_check -o match:'^duration,scope,value,reason,type$' -o match:'^24h,ip,203.0.113.7,gatehouse/pregreet,ban$' \
	    -o match:'^24h,range,2001:db8:1:2::/64,gatehouse/pregreet,ban$' gatehousectl offenders --format crowdsec
	gatehousectl offenders --format nftables >set.nft
	atf_check unshare -n nft -c -f set.nft
	# Twice is no error; and the sets hold what was meant.
	cat >twice <<-END
	nft -f set.nft && nft -f set.nft && nft list table inet gatehouse
	END
	atf_check -o match:'203.0.113.7 expires' -o match:'198.51.100.70 expires' -o match:'2001:db8:1:2::/64 expires' \
	    -o not-match:'203.0.113.8' unshare -n sh -e twice
	# A permit that comes later is believed at once.
	echo 'postscreen_access_list = cidr:{{203.0.113.0/24 permit}}' >>conf/main.cf
	gatehouse_reload
	atf_check_equal "198.51.100.70 2001:db8:1:2::/64 2001:db8:1:3::/64 " "$(listed)"
	# With nobody to name it is still a file that loads.
	gatehousectl offenders --least 1000 --format nftables >set.nft
	atf_check unshare -n nft -c -f set.nft
	gatehouse_stop
}

system_case only_the_refused
only_the_refused_body()
{
	setup
	programs
	gatehouse_config <<-END
	gatehouse_listen = { $addr:2526, proxy=yes }
	gatehouse_proxy_networks = 127.77.0.0/16
	gatehouse_shadow = pregreet, bare_newline
	postscreen_greet_action = drop
	postscreen_bare_newline_enable = yes
	postscreen_bare_newline_action = drop
	END
	gatehouse_start
	# Two that would have been dropped: one leaves in time to be nothing at all, one is let through.
	atf_check -o ignore talk -s 127.77.0.1 "$addr:2526" \
	    '> PROXY TCP4 203.0.113.7 192.0.2.9 4000 25' 220- 220 '! EHLO x\n' 250 close
	atf_check -o ignore talk -s 127.77.0.1 "$addr:2526" \
	    '! PROXY TCP4 203.0.113.8 192.0.2.9 4000 25\r\nEHLO early\r\n' 220 250 '> MAIL FROM:<a@example.net>' 250 \
	    '> RCPT TO:<b@example.net>' 250 '> QUIT' 221 eof
	wait_for 5 would_refuse || atf_fail "nobody in the shadow"
	atf_check -o empty gatehousectl offenders --least 1
	gatehouse_stop
}

would_refuse()
{
	[ "$(gatehousectl sessions --ended | grep -cE 'pregreet|bare-newline')" = 2 ]
}

### Log files

visits() # UNTIL-FILE: one after the other, counted in `visited`
{
	local n=0
	while [ ! -e "$1" ]; do
		talk -q -s 127.1.9.9 "$addr:2525" 220- '> QUIT' close && n=$((n + 1))
		echo $n >visited
	done
}

turn_over()
{
	LD_LIBRARY_PATH=$(libraries_of logrotate) "$real/logrotate/usr/sbin/logrotate" --state "$work/rotated" "$@" \
	    rotate.conf 2>>log/logrotate
}

lines_of() # NAME PATTERN: in all its generations
{
	zgrep -hcE -e "$2" logs/"$1"* | awk '{ n += $1 } END { print n + 0 }'
}

system_case logrotate
logrotate_body()
{
	setup
	parts logrotate
	programs
	mkdir logs
	chmod 755 logs
	gatehouse_config <<-END
	gatehouse_log = $work/logs/gatehouse.log
	gatehouse_record_log = $work/logs/records.json
	gatehouse_control = $work/control
	postscreen_greet_wait = 1s
	END
	gatehouse_start
	sed -e "s,/var/log/gatehouse,$work/logs,g; s,/run/gatehouse/control,$work/control,; s,/usr/sbin/gatehousectl,gatehousectl," \
	    -e '/rsyslog-rotate/d' "$top/packaging/gatehouse.logrotate" >rotate.conf
	chmod 644 rotate.conf
	turn_over -d >log/dry || fail_with log/logrotate
	visits enough &
	visitor=$!
	wait_for 5 grep -q CONNECT logs/gatehouse.log || atf_fail "nobody comes"
	for i in 1 2 3; do
		turn_over -f || fail_with log/logrotate
		sleep 0.4
	done
	: >enough
	wait $visitor
	atf_check -o match:'gatehouse.log.2.gz' -o match:'gatehouse.log.1$' -o match:'records.json.3.gz' ls logs
	wait_for 5 all_written ||
	    atf_fail "$(cat visited) visits, but $(lines_of gatehouse.log ' CONNECT from') times CONNECT," \
	        "$(lines_of gatehouse.log ' PREGREET ') times PREGREET, $(lines_of records.json client) records"
	atf_check_equal 0 "$(count logs/gatehouse.log 'log lines were lost')"
	# What is written now goes to the new file.
	before=$(count logs/gatehouse.log ' CONNECT from')
	talk -q -s 127.1.9.10 "$addr:2525" 220- close
	wait_line logs/gatehouse.log 'CONNECT from .127.1.9.10'
	gatehouse_stop
}

all_written()
{
	[ "$(lines_of gatehouse.log ' CONNECT from .127.1.9.9')" -ge "$(cat visited)" ] &&
	    [ "$(lines_of gatehouse.log ' PREGREET .* from .127.1.9.9')" -ge "$(cat visited)" ] &&
	    [ "$(lines_of records.json '"client":"127.1.9.9"')" -ge "$(cat visited)" ]
}

# A /dev of its own, so that rsyslogd can make the log socket that programs look for.
private_dev()
{
	cat >dev.sh <<-END
	mkdir -p $work/dev && mount -t tmpfs none $work/dev
	for node in null zero random urandom; do
		: >$work/dev/\$node && mount --bind /dev/\$node $work/dev/\$node
	done
	mount --rbind $work/dev /dev
	NOTIFY_SOCKET= LD_LIBRARY_PATH=$(libraries_of rsyslog) $real/rsyslog/usr/sbin/rsyslogd -n -i NONE \
	    -M $modules -f $work/rsyslog.conf >>$work/log/rsyslogd 2>&1 </dev/null &
	echo "\$! rsyslogd" >>$work/pids
	while [ ! -S /dev/log ]; do sleep 0.05; done
	exec "\$@"
	END
}

system_case rsyslog
rsyslog_body()
{
	setup
	parts rsyslog
	modules=$(find "$real/rsyslog" -type d -path '*/rsyslog' -exec test -e '{}/imuxsock.so' ';' -print)
	sed "s,/var/log/gatehouse/,$work/logs/," "$top/packaging/gatehouse.rsyslog" >snippet.conf
	mkdir logs
	cat >rsyslog.conf <<-END
	module(load="imuxsock")
	global(workDirectory="$work")
	\$IncludeConfig $work/snippet.conf
	mail.* action(type="omfile" file="$work/mail.log" template="RSYSLOG_TraditionalFileFormat")
	END
	atf_check -e ignore env LD_LIBRARY_PATH="$(libraries_of rsyslog)" "$real/rsyslog/usr/sbin/rsyslogd" -N1 -M "$modules" \
	    -f "$work/rsyslog.conf"
	private_dev
	gatehouse_config <<-END
	gatehouse_log = syslog
	postscreen_greet_action = drop
	END
	gatehouse_wrapper="unshare -m sh -e $work/dev.sh"
	gatehouse_start
	atf_check -o ignore talk -s 127.1.9.8 "$addr:2525" '! EHLO early\r\n' eof
	wait_line logs/gatehouse.log 'postfix/postscreen\[[0-9]+\]: PREGREET 12 after .* from .127.1.9.8.:[0-9]+: EHLO early.r.n$'
	wait_line logs/gatehouse.log 'postfix/gatehouse\[[0-9]+\]: ready: '
	wait_line mail.log '^[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} [^ ]+ postfix/postscreen\[[0-9]+\]: DISCONNECT .127.1.9.8.:[0-9]+$'
	# Others' lines do not come into the file, whatever words they hold.
	nsenter -t "$(pid_of gatehouse)" -m logger -u /dev/log -p mail.info -t postfix/smtpd 'NOQUEUE: postfix/postscreen[1]: forged'
	wait_line mail.log forged
	atf_check_equal 0 "$(count logs/gatehouse.log forged)"
	gatehouse_stop
}

### bash

system_case completion
completion_body()
{
	setup
	programs
	gatehouse_config </dev/null
	cat >complete.bash <<-'END'
	source "$1"
	shift
	complete -p gatehousectl >/dev/null || exit 1
	COMP_WORDS=(gatehousectl "$@")
	COMP_CWORD=$#
	COMPREPLY=()
	_gatehousectl
	printf '%s ' "${COMPREPLY[@]}"
	END
	offers "status stop " st
	offers "-c -o --json --help --version " -
	offers "offenders " --json off
	offers "explain " -c /etc/postfix ex
	offers "--format --least " offenders --
	offers "table plain fail2ban nftables crowdsec " offenders --format ''
	offers "nftables " offenders --format n
	offers " " offenders --least ''
	offers "get set delete export import stats " cache ''
	offers " " cache get ''
	offers "health " dnsbl ''
	offers "--watch --times --ended " sessions ''
	offers "postscreen_greet_action postscreen_greet_banner postscreen_greet_ttl postscreen_greet_wait " \
	    conf postscreen_greet_
	offers "postscreen_greet_wait= " -o postscreen_greet_w
	# Every command there is.
	commands=$(gatehousectl --help | sed -n 's/^  \([a-z]*\).*/\1/p')
	[ "$(echo "$commands" | wc -l)" -gt 15 ] || atf_fail "which commands are there?"
	for command in $commands; do
		bash --norc complete.bash "$top/packaging/gatehousectl" "$command" | grep -qw "$command" || atf_fail "not offered: $command"
	done
}

offers() # WORDS TYPED...
{
	local words=$1
	shift
	atf_check_equal "$words" "$(bash --norc complete.bash "$top/packaging/gatehousectl" "$@")"
}

atf_init_test_cases()
{
	atf_add_test_case offenders
	atf_add_test_case only_the_refused
	atf_add_test_case logrotate
	atf_add_test_case rsyslog
	atf_add_test_case completion
}
