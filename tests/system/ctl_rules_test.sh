# gatehousectl conf and lookup, and gatehouse -t: what is printed, and the exit status.

top=@abs_top_srcdir@ build=@abs_top_builddir@
ctl=$build/gatehousectl

atf_test_case conf
conf_body()
{
	mkdir d
	printf 'myhostname = mx.example.org\nsmtpd_banner = $myhostname here\nbiff = no\n' >d/main.cf
	echo 'postscreen_greet_wait = 4s' >d/gatehouse.cf
	atf_check -o inline:'smtpd_banner = $myhostname here\n' "$ctl" -c d conf smtpd_banner
	atf_check -o inline:'postscreen_greet_banner = mx.example.org here\n' \
	    "$ctl" -c d conf -x postscreen_greet_banner
	atf_check -o inline:'postscreen_greet_wait = ${stress?{2}:{6}}s\n' \
	    "$ctl" -c d conf -d postscreen_greet_wait
	atf_check -o inline:'postscreen_greet_wait = 4s\n' "$ctl" -c d conf postscreen_greet_wait
	atf_check -o inline:'postscreen_greet_wait = 9s\n' \
	    "$ctl" -c d -o postscreen_greet_wait=9s conf postscreen_greet_wait
	atf_check -o inline:'myhostname = mx.example.org\npostscreen_greet_wait = 4s\nsmtpd_banner = $myhostname here\n' \
	    "$ctl" -c d conf -n
	atf_check -o inline:'{"mail_name":"Postfix","soft_bounce":"no"}\n' \
	    "$ctl" -c d conf --json mail_name soft_bounce
	atf_check -s exit:1 -e inline:'gatehousectl: no parameter mailname; did you mean mail_name?\n' \
	    "$ctl" -c d conf mailname
	atf_check -s exit:2 -e match:'^usage: ' "$ctl" conf -q
	atf_check -s exit:2 -e match:'exclude each other' "$ctl" conf -d -n
	atf_check -s exit:2 -e match:'^usage: ' "$ctl"
	atf_check -s exit:2 -e match:'unknown command brew' "$ctl" brew
	atf_check -s exit:2 -e match:'write -o NAME=VALUE' "$ctl" -o x conf
	echo 'postscreen_gret_wait = 1' >>d/main.cf
	atf_check -s exit:78 -e match:'d/main.cf:4: unknown parameter postscreen_gret_wait; did you mean postscreen_greet_wait' \
	    "$ctl" -c d conf
	atf_check -s exit:78 -e match:'holds neither' "$ctl" -c none conf
}

atf_test_case first_contact
first_contact_body()
{
	for program in gatehouse gatehousectl gatehouse-tune; do
		atf_check -o match:"^usage: $program" "$build/$program" --help
		atf_check -o match:"^$program [0-9]" "$build/$program" --version
	done
	atf_check -o match:'^usage: gatehouse-sink' "$build/gatehouse-sink" --help
	atf_check -s exit:64 -e match:'^usage: ' "$build/gatehouse" --nonsense
	atf_check -s exit:2 -e match:'^usage: ' "$ctl" --nonsense
}

atf_test_case lookup
lookup_body()
{
	printf '10.1.0.0/16 permit\n10.0.0.0/8 reject them\n10.0.0.1/8 bad\n' >t
	atf_check -o inline:'reject them\n' -e match:'t:3: non-null host address bits.*"10.0.0.0/8" instead' \
	    "$ctl" lookup cidr:t 10.2.0.1
	atf_check -s exit:1 -e ignore "$ctl" lookup cidr:t 11.0.0.1
	printf '10.1.0.1\n11.0.0.1\n10.2.0.1\n' >keys
	atf_check -o inline:'10.1.0.1\tpermit\n10.2.0.1\treject them\n' -e ignore "$ctl" lookup cidr:t - <keys
	atf_check -o inline:'{"key":"10.1.0.1","value":"permit"}\n{"key":"10.2.0.1","value":"reject them"}\n' \
	    -e ignore "$ctl" --json lookup cidr:t - <keys
	echo 11.0.0.1 >keys
	atf_check -s exit:1 -e ignore "$ctl" lookup cidr:t - <keys
	atf_check -s exit:2 -e match:'^usage: ' "$ctl" lookup cidr:t
	atf_check -s exit:78 -e match:'./none: cannot be opened' "$ctl" lookup cidr:./none 10.0.0.1
	atf_check -s exit:78 -e match:'look-up error' "$ctl" lookup fail:x 10.0.0.1
}

# -t tells of every table; a start goes on without one that is missing, so its absence is no other error.
atf_test_case check_configuration
check_configuration_body()
{
	mkdir d
	cat >d/main.cf <<-END
	gatehouse_listen = 127.0.0.1:2525
	postscreen_access_list = permit_mynetworks, cidr:\$config_directory/access.cidr
	END
	printf '10.0.0.0/8 reject\n10.1.0.0/16 permit\n' >d/access.cidr
	atf_check -o ignore -e match:'d/access.cidr:2: this rule \(permit\) is never reached: line 1 \(reject\) comes first' \
	    "$build/gatehouse" -c d -t
	rm d/access.cidr
	atf_check -s exit:78 -o ignore -e match:'d/access.cidr: cannot be opened' "$build/gatehouse" -c d -t
	printf 'postscreen_greet_ttl = soon\nnonsense\n' >>d/main.cf
	atf_check -s exit:78 -o ignore -e match:'d/main.cf:3: .*bad time value' -e match:"d/main.cf:4: missing '='" \
	    "$build/gatehouse" -c d -t
}

atf_init_test_cases()
{
	atf_add_test_case first_contact
	atf_add_test_case conf
	atf_add_test_case lookup
	atf_add_test_case check_configuration
}
