# The programs that read postscreen's log read Gatehouse's and come to the same figures. The same clients
# visit three mail servers with one main.cf: Postfix behind its own postscreen, Postfix behind Gatehouse as
# a drop-in (retry), and the same with Gatehouse's own way after the checks that follow the greeting
# (onward). What the tools then report is compared; see tests/system/compat/.

top=@abs_top_srcdir@ build=@abs_top_builddir@
. "$top/tests/helpers/lib.subr"

here=$top/tests/system/compat
port=2525
modes="more auth normal rbl ddos extra aggressive errors"

# A Postfix of its own in NAME/postfix.
site() # NAME
{
	local whole=$work
	work=$whole/$1
	mkdir -p "$work/log"
	postfix_make <"$here/main.cf"
	sed -i '/^virtual_mailbox_maps = static/d' "$work/postfix/conf/main.cf"
	echo "default_process_limit = 400" >>"$work/postfix/conf/main.cf"
	work=$whole
}

run_postfix() # NAME
{
	LD_LIBRARY_PATH=$(postfix_libraries) start "postfix-$1" unshare -m sh -c \
	    "mount --bind $work/resolv.conf /etc/resolv.conf && exec \"\$@\"" sh \
	    "$real/postfix/usr/lib/postfix/sbin/master" -c "$work/$1/postfix/conf" -d
	wait_line "$work/$1/postfix/maillog" 'daemon started' 10
}

behind_postscreen() # NAME PORT
{
	site "$1"
	echo "$addr:$2 inet n - n - 1 postscreen" >>"$1/postfix/conf/master.cf"
	run_postfix "$1"
}

# The main.cf as it was, and beside it what a drop-in needs.
behind_gatehouse() # NAME PORT [LINE...]
{
	local name=$1 at=$2
	shift 2
	site "$name"
	{
		printf '%s\n' "$@"
		cat <<-END
		gatehouse_listen = $addr:$at
		gatehouse_control = $work/$name/control
		gatehouse_log = $work/$name/postfix/maillog
		gatehouse_dns_servers = $addr:53
		gatehouse_session_limit = 1000
		END
	} >"$name/postfix/conf/gatehouse.cf"
	run_postfix "$name"
	ASAN_OPTIONS=$asan_options:detect_leaks=0 \
	    start "gatehouse-$name" "$build/gatehouse" -c "$work/$name/postfix/conf" -f
	wait_line "$name/postfix/maillog" 'ready: ' 20
}

lists()
{
	local tested='127.0.0.2 :127.0.0.2:test\n'
	printf "${tested}127.8.0.0/16 :127.0.0.2:listed\n" >bl.zone
	printf "${tested}127.9.0.0/16 :127.0.0.4:listed\n127.8.1.0/24 :127.0.0.9:listed\n" >other.zone
	printf "${tested}127.10.0.0/16 :127.0.0.5:good\n" >wl.zone
	rbldnsd_start "$addr" 53 bl.example.test:ip4set:bl.zone other.example.test:ip4set:other.zone \
	    wl.example.test:ip4set:wl.zone
	printf 'nameserver %s\n' "$addr" >resolv.conf
}

visit() # NAME PORT
{
	mkdir -p "heard/$1"
	play traffic mx "$addr:$2" "heard/$1" >"$1.clients"
}

### The tools; each reads $maillog

fail2ban_regex() # FILTER [OPTION...]
{
	local filter=$1
	shift
	PYTHONPATH=$real/fail2ban/usr/lib/python3/dist-packages PATH=$PATH:$real/fail2ban/usr/bin \
	    python3 "$real/fail2ban/usr/bin/fail2ban-regex" -c "$work/fail2ban" --usedns no "$@" "$maillog" "$filter"
}

report_fail2ban()
{
	local mode
	for mode in $modes; do
		fail2ban_regex "postfix[mode=$mode]" -o ip | sed "s/^/$mode: /"
	done
	# Ours, on postscreen's log as well.
	fail2ban_regex gatehouse -o ip | sed "s/^/gatehouse: /"
}

report_pflogsumm()
{
	perl "$real/pflogsumm/usr/sbin/pflogsumm" --smtpd-stats --rej-add-from --verbose-msg-detail "$maillog"
}

report_logwatch()
{
	LOGWATCH_DETAIL_LEVEL=10 perl "$real/logwatch/usr/share/logwatch/scripts/services/postfix" <"$maillog"
}

report_script() # FILE
{
	case $1 in
	*.awk) awk -f "$here/scripts/$1" "$maillog" ;;
	*.pl) perl "$here/scripts/$1" "$maillog" ;;
	esac
}

# What differs in any two runs of one program: where it lives, times, process ids, ports.
plain() # NAME
{
	sed -E -e "s,$work/$1/,,g; s,[A-Z][a-z]{2} +[0-9]+ [0-9:]{8} ,,g; s/\[[0-9]+\]:/[PID]:/g" \
	    -e "s/(\[[0-9a-f.:]+\]):[0-9]+/\1:PORT/g; s/\[$addr\]/[SERVER]/g; s/(ready:) [0-9].*/\1/"
}

report() # NAME SCRIPT-OR-TOOL
{
	local maillog=$work/$1/postfix/maillog
	case $2 in
	fail2ban) report_fail2ban | sort | uniq -c ;;
	pflogsumm | logwatch) "report_$2" | plain "$1" | awk -f "$here/figures.awk" | sort ;;
	totals) report "$1" pflogsumm | grep '^Grand Totals' ;;
	*) report_script "$2" | plain "$1" ;;
	esac
}

reports() # NAME
{
	local tool
	mkdir -p "reports/$1"
	for tool in $(ls "$here/scripts") pflogsumm logwatch fail2ban; do
		report "$1" "$tool" >"reports/$1/$tool"
	done
}

unpack_tools()
{
	"$top/tests/helpers/real-parts" "$real" pflogsumm logwatch fail2ban >log/real-parts-tools 2>&1 ||
	    atf_skip "cannot get the tools"
	cp -r "$real/fail2ban/etc/fail2ban" fail2ban
	cp "$top/packaging/fail2ban-filter.conf" fail2ban/filter.d/gatehouse.conf
}

# The filter shipped here names those who did wrong, all of them and nobody else: not the good, not the
# unlucky, and not 10.9.8.7, whom some clients tried to have named.
right_ones_banned()
{
	local bad='pregreet|pipelining|non-smtp|web|bare-newline|too-many-commands|too-long|forged-pregreet|listed|denied'
	awk -v bad="^($bad|listed-and-early|pregreet-(binary|web|returns))-[0-9]+$" '$1 ~ bad { print $2 }' \
	    retry.clients | sort -u >guilty
	awk '$2 == "gatehouse:" { print $3 }' reports/retry/fail2ban | sort -u >banned
	diff guilty banned || atf_fail "< should be banned, > are banned"
	[ "$(wc -l <banned)" -gt 30 ] || atf_fail "too few are banned"
}

# None of the tools may have come to the same by finding nothing.
reports_say_something()
{
	local file
	for file in stock/*; do
		[ "$(wc -l <"$file")" -ge 8 ] || atf_fail "$file says nothing"
	done
}

system_case same_figures 120
same_figures_body()
{
	setup
	unpack_tools
	lists
	behind_postscreen stock 2525
	behind_gatehouse retry 2526 "gatehouse_after_deep_tests = retry"
	behind_gatehouse onward 2527 "gatehouse_workers = 2"
	sh "$here/traffic" >traffic
	visit stock 2525 &
	first=$!
	visit retry 2526 &
	second=$!
	visit onward 2527 || atf_fail "no traffic"
	wait $first && wait $second || atf_fail "no traffic for the others"
	sleep 0.5
	reports stock &
	reports retry
	wait $!
	(cd reports && reports_say_something)
	right_ones_banned
	for tool in verdicts.awk totals; do
		report stock $tool >reports/stock/onward-$tool
		report onward $tool >reports/retry/onward-$tool
	done
	judge "$here/differences" reports/stock reports/retry >judgement || atf_fail "the list cannot be read"
	[ ! -s judgement ] || fail_with judgement
	cat reports/retry/verdicts.awk
}

atf_init_test_cases()
{
	atf_add_test_case same_figures
}
