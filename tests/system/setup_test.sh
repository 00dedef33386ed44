# gatehouse-setup: what it writes works, twice does no more than once, and it takes everything back.

top=@abs_top_srcdir@ build=@abs_top_builddir@
. "$top/tests/helpers/lib.subr"

gatehouse_setup()
{
	GATEHOUSE_SBIN=$build ASAN_OPTIONS=$asan_options:detect_leaks=0 sh "$build/packaging/gatehouse-setup" \
	    --dir "$work/conf" --units "$work/units" --yes "$@" >out 2>&1 </dev/null
}

system_case postfix
postfix_body()
{
	setup
	mkdir pf
	cat >pf/master.cf <<-'END'
	# service type
	smtp      inet  n       -       y       -       1       postscreen
	  -o one=two
	#smtp      inet  n       -       y       -       -       smtpd
	submission inet n       -       y       -       -       smtpd
	END
	cp pf/master.cf original
	# Shown, not made.
	gatehouse_setup --postfix "$work/pf" --listen "$addr:2525" --lists none
	atf_check cmp original pf/master.cf
	atf_check -o match:'^-smtp      inet' -o match:'^\+smtpd     pass' -o match:'yours to make' cat out
	gatehouse_setup --postfix "$work/pf" --listen "$addr:2525" --lists none --change-postfix
	cp pf/master.cf changed
	atf_check -o match:'^smtpd     pass .* smtpd$' -o match:'^submission' -o not-match:'^smtp ' -o not-match:'^  -o one' \
	    cat pf/master.cf
	# Again: nothing new.
	cp -r conf conf.once
	cp -r units units.once
	gatehouse_setup --postfix "$work/pf" --listen "$addr:2525" --lists none --change-postfix
	atf_check -o match:'^unchanged: .*main.cf' -o match:'^unchanged: .*master.cf' -o not-match:'^written' cat out
	atf_check diff -r conf.once conf
	atf_check diff -r units.once units
	atf_check cmp changed pf/master.cf
	# And back, without being told which Postfix it was.
	echo '# added since' >>pf/master.cf
	gatehouse_setup --revert
	echo '# added since' >>original
	atf_check diff original pf/master.cf
	atf_check test ! -e conf/main.cf -a ! -e units/gatehouse.service.d
	gatehouse_setup --revert
	atf_check diff original pf/master.cf
}

system_case carries_over
carries_over_body()
{
	setup
	mkdir pf
	# The listener's chroot, process limit and options go to the service behind; comments may stand anywhere; no end of line.
	printf '%s\n' '# service type' '25 inet n - n - 40 smtpd -v' '# why' '   -o content_filter=scan:[127.0.0.1]:10025' '' \
	    '   -o smtpd_proxy_timeout=9s' 'other inet n - y - - smtpd' >pf/master.cf
	printf 'pickup unix n - y 60 1 pickup' >>pf/master.cf
	cp pf/master.cf original
	gatehouse_setup --postfix "$work/pf" --listen "$addr:2525" --lists none --change-postfix
	grep -v '^#' pf/master.cf >changed
	cat >expected <<-'END'

	other inet n - y - - smtpd
	pickup unix n - y 60 1 pickup
	smtpd     pass  -       -       n       -       40       smtpd -v
	   -o content_filter=scan:[127.0.0.1]:10025
	   -o smtpd_proxy_timeout=9s
	END
	atf_check diff expected changed
	gatehouse_setup --revert
	atf_check cmp original pf/master.cf
	# What was changed by hand meanwhile is not lost when the program writes again.
	gatehouse_setup --postfix "$work/pf" --listen "$addr:2525" --lists none
	echo 'postscreen_greet_wait = 2s' >>conf/main.cf
	gatehouse_setup --postfix "$work/pf" --listen "$addr:2525" --lists none
	atf_check -o match:'greet_wait = 2s' cat conf/main.cf.old
	# Earlier answers are proposed again.
	gatehouse_setup --postfix "$work/pf" --listen "$addr:2527" --networks 192.0.2.0/24 --lists 'bl.example*3' --shadow dnsbl
	cp conf/main.cf once
	gatehouse_setup --postfix "$work/pf"
	atf_check -o match:'^unchanged: .*main.cf' cat out
	atf_check cmp once conf/main.cf
	gatehouse_setup --revert
	atf_check test ! -e conf/main.cf.old
}

system_case serves
serves_body()
{
	setup
	mkdir -p data conf
	echo 'myhostname = older' >conf/main.cf
	gatehouse_setup --backend "sink:$work/mail" --listen "$addr:2525" --lists 'bl.example*3' --networks 127.0.0.1 --dry-run
	atf_check -o match:'would write .*main.cf' -o match:'postscreen_dnsbl_sites = bl.example\*3' cat out
	atf_check -o inline:'myhostname = older\n' cat conf/main.cf
	gatehouse_setup --backend "sink:$work/mail" --listen "$addr:2525" --lists none --networks 127.0.0.1
	atf_check -o inline:'myhostname = older\n' cat conf/main.cf.before-gatehouse
	atf_check -o match:"^ListenStream=$addr:2525" cat units/gatehouse.socket.d/setup.conf
	cat >>conf/main.cf <<-END
	gatehouse_control = $work/control
	gatehouse_user = nobody
	gatehouse_log = stderr
	data_directory = $work/data
	postscreen_greet_wait = 1s
	gatehouse_metrics_listen =
	END
	gatehouse_start
	# In the shadow an early talker gets through.
	atf_check -o ignore talk -s 127.1.2.3 "$addr:2525" 220- '> EHLO x' 220 250 '> QUIT' 221 eof
	gatehouse_stop
	gatehouse_setup --revert
	atf_check -o inline:'myhostname = older\n' cat conf/main.cf
}

system_case mistakes
mistakes_body()
{
	setup
	for wrong in '--backend nonsense' '--shadow maybe' '--tls /no/cert:/no/key' '--postfix /no/where' '--frob' '--listen'; do
		! gatehouse_setup --backend "sink:$work/mail" $wrong || fail_with out
		atf_check -o match:'gatehouse-setup: ' cat out
		atf_check test ! -e conf
	done
}

atf_test_case unit
unit_head()
{
	atf_set descr "the unit is as locked as it is said to be"
	atf_set require.progs systemd-analyze
}
unit_body()
{
	mkdir unit
	cp "$build/packaging/gatehouse.service" unit/
	atf_check -o ignore -e ignore systemd-analyze security --offline=true --threshold=20 "$PWD/unit/gatehouse.service"
}

atf_test_case scripts
scripts_body()
{
	atf_check sh -n "$build/packaging/gatehouse-setup"
	atf_check bash -n "$top/packaging/gatehousectl"
	command -v shellcheck >/dev/null || atf_skip "no shellcheck"
	atf_check shellcheck "$build/packaging/gatehouse-setup"
	atf_check shellcheck --shell=bash "$top/packaging/gatehousectl"
}

atf_init_test_cases()
{
	atf_add_test_case postfix
	atf_add_test_case carries_over
	atf_add_test_case serves
	atf_add_test_case mistakes
	atf_add_test_case unit
	atf_add_test_case scripts
}
