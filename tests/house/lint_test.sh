# Static analysis and manual pages. The two analysers run only where asked for (./check sets
# test_suites.gatehouse.lint).

top=@abs_top_srcdir@
build=@abs_top_builddir@

units()
{
	(cd "$top" && find base rules policy dnsbl tlsproxy screen -name '*.c')
}

atf_test_case clang_tidy
clang_tidy_head()
{
	atf_set require.config lint
	atf_set require.progs clang-tidy
	atf_set timeout 900
}
clang_tidy_body()
{
	flags=$(make -s -C "$build" print-cppflags)
	for name in SYSCONFDIR SBINDIR LIBEXECDIR DATADIR; do
		flags="$flags -DGH_$name='\"/$name\"'"
	done
	cd "$top"
	units | xargs -P 2 -n 8 sh -c 'clang-tidy --quiet --warnings-as-errors="*" "$@" -- '"$flags"' -std=c11' sh \
	    >"$HOME/out" 2>"$HOME/err" || { cat "$HOME/out"; grep -E 'error|warning:' "$HOME/err"; atf_fail "clang-tidy complains"; }
}

atf_test_case cppcheck
cppcheck_head()
{
	atf_set require.config lint
	atf_set require.progs cppcheck
	atf_set timeout 280
}
cppcheck_body()
{
	cd "$top"
	units >"$HOME/units"
	atf_check -e empty cppcheck -q -j 2 --std=c11 --error-exitcode=1 --inline-suppr \
	    --enable=warning,portability --suppressions-list=tests/helpers/cppcheck.supp --template='{file}:{line}: {severity}: {message} [{id}]' \
	    -I . -I "$build" -DHAVE_CONFIG_H --file-list="$HOME/units"
}

atf_test_case manuals
manuals_head()
{
	atf_set descr "mandoc finds nothing to complain about"
	atf_set require.progs mandoc
}
manuals_body()
{
	set -- "$top"/doc/*.[158]
	[ -f "$1" ] || atf_skip "no manuals"
	for page in "$@" "$build"/doc/*.[158]; do
		[ -f "$page" ] && atf_check mandoc -Tlint -Wwarning "$page"
	done
}

atf_test_case shell
shell_head()
{
	atf_set descr "every script parses"
}
shell_body()
{
	for script in run check .ci/run tests/helpers/summary tests/helpers/lib.subr tests/helpers/real-parts; do
		[ ! -f "$top/$script" ] || atf_check bash -n "$top/$script"
	done
}

atf_init_test_cases()
{
	atf_add_test_case clang_tidy
	atf_add_test_case cppcheck
	atf_add_test_case manuals
	atf_add_test_case shell
}
