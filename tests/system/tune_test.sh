# gatehouse-tune as a program: files in all their wrappings, golden reports, the page in a browser.

top=@abs_top_srcdir@ build=@abs_top_builddir@
here=$top/tests/system/tune
export TZ=UTC LC_ALL=C

tune()
{
	"$build/gatehouse-tune" "$@"
}

# A small site's log; its year is that of the file's own time.
golden_log()
{
	cp "$here/site.log" site.log
	touch -d '2026-11-22 00:00:00 UTC' site.log
}
sites='zen.example*2, drone.example, list.dnswl.org=127.0.[0..255].[1..3]*-2'

atf_test_case golden_reports
golden_reports_body()
{
	golden_log
	tune --sites "$sites" --threshold 2 site.log >text
	atf_check -o file:"$here/report.txt" cat text
	tune --sites "$sites" --threshold 2 --json site.log >json
	atf_check -o file:"$here/report.json" cat json
	tune --sites "$sites" --denylist site.log >deny
	atf_check -o file:"$here/denylist.txt" cat deny
	tune --sites "$sites" -o postscreen_dnsbl_threshold=2 --what-if 'drone.example*2' --threshold 2 site.log >what_if
	atf_check -o file:"$here/what_if.txt" sed -n '/^what if/,/^$/p' what_if
}

atf_test_case files_in_any_wrapping
files_in_any_wrapping_head()
{
	atf_set require.progs "gzip zstd"
}
files_in_any_wrapping_body()
{
	"$build/tests/bench/tune_log" 9000 700 3 >mail.whole
	touch -d '2026-11-22 00:00:00 UTC' mail.whole
	tune --json mail.whole >whole
	head -n 3000 mail.whole >mail.log.2
	sed -n 3001,6000p mail.whole >mail.log.1
	sed -n '6001,$p' mail.whole >mail.log
	touch -d '2026-11-22 00:00:00 UTC' mail.log*
	tune --json mail.log mail.log.1 mail.log.2 >rotated
	atf_check cmp whole rotated
	gzip mail.log.2
	zstd -q --rm mail.log.1
	touch -d '2026-11-22 00:00:00 UTC' mail.log*
	tune --json mail.log.1.zst mail.log mail.log.2.gz >packed
	atf_check cmp whole packed
	# By what they hold, not by their names; several members in one file; from a pipe.
	{ head -n 4000 mail.whole | gzip; sed -n '4001,$p' mail.whole | gzip; } >disguised
	touch -d '2026-11-22 00:00:00 UTC' disguised
	tune --json disguised >one
	atf_check cmp whole one
	tune --json <disguised >two
	atf_check cmp whole two
	tune --json - <mail.whole >three
	atf_check cmp whole three
	# Dates in the names.
	head -n 3000 mail.whole >z.log-20261103
	sed -n '3001,$p' mail.whole >z.log-20261108
	touch -d '2026-11-22 00:00:00 UTC' z.log*
	tune --json z.log-20261108 z.log-20261103 >dated
	atf_check cmp whole dated
}

atf_test_case formats_agree
formats_agree_body()
{
	for format in syslog rfc5424 iso; do
		"$build/tests/bench/tune_log" 9000 700 3 $format >$format
		touch -d '2026-11-22 00:00:00 UTC' $format
		tune --json $format | sed 's/"latency_ms":{[^}]*},//g' >$format.json
		atf_check cmp syslog.json $format.json
	done
}

atf_test_case year_rolls_over_between_files
year_rolls_over_between_files_body()
{
	p=postfix/postscreen[1]
	echo "Dec 31 23:00:00 mx $p: PASS NEW [192.0.2.1]:1" >m.1
	echo "Jan  1 01:00:00 mx $p: PASS OLD [192.0.2.1]:2" >m
	touch -d '2026-06-01 00:00:00 UTC' m m.1
	tune m m.1 >out
	atf_check -o match:'2025-12-31 to 2026-01-01' cat out
}

atf_test_case trouble_is_said
trouble_is_said_body()
{
	golden_log
	gzip -c site.log | head -c 300 >cut.gz
	atf_check -s exit:1 -o not-empty -e match:'cut.gz: gzip data end too early' "$build/gatehouse-tune" cut.gz site.log
	atf_check -s exit:1 -o not-empty -e match:'none: No such file' "$build/gatehouse-tune" none site.log
	atf_check -s exit:78 -e match:'missing|need|bad' "$build/gatehouse-tune" --sites 'a.example=127.0.0' site.log
	atf_check -s exit:2 -e match:'max-fp wants' "$build/gatehouse-tune" --max-fp 2 site.log
	atf_check -s exit:2 -e match:'usage' "$build/gatehouse-tune" --nonsense
	atf_check -o match:usage "$build/gatehouse-tune" --help
	# Quiet where nobody looks.
	atf_check -o not-empty -e empty "$build/gatehouse-tune" site.log
}

atf_test_case configuration_in_force
configuration_in_force_body()
{
	golden_log
	mkdir conf
	printf 'postscreen_dnsbl_sites = zen.example*3\n drone.example\npostscreen_dnsbl_threshold = 3\n' >conf/main.cf
	atf_check -o match:'in force: threshold 3; as configured' "$build/gatehouse-tune" -c conf site.log
	atf_check -o match:'what if: .*, threshold 9' "$build/gatehouse-tune" -c conf --threshold 9 site.log
	tune -c conf --suggest site.log >out
	atf_check -o match:'-    zen.example\*3' cat out
}

atf_test_case page_in_a_browser
page_in_a_browser_head()
{
	atf_set require.progs "chromium"
	atf_set timeout 110
}
page_in_a_browser_body()
{
	"$build/tests/bench/tune_log" 20000 1500 3 >mail.log
	tune --sites "$sites, wild.example, coin.example" --threshold 2 --suggest --what-if 'zen.example*2, wild.example*2' \
	    --html page.html mail.log >out
	# Nothing is fetched, nothing of the log can become markup.
	atf_check -s exit:1 grep -qE 'https?://|src=|@import|url\(' page.html
	browser="timeout 40 chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir=$(pwd)/profile"
	for scheme in light dark; do
		for size in 1280,900 390,844; do
			flags=
			[ $scheme = light ] || flags=--force-dark-mode
			$browser $flags --window-size=$size --screenshot="$(pwd)/$scheme-$size.png" \
			    "file://$(pwd)/page.html" >log 2>&1 || { cat log; atf_fail "no picture at $size $scheme"; }
			[ -s $scheme-$size.png ] || { cat log; atf_fail "no picture at $size $scheme"; }
		done
	done
	# With scripts: the page knows its own width and reports what sticks out; the slider works.
	sed 's|</html>||' page.html >probe.html
	cat >>probe.html <<-'END'
	<script>addEventListener("load", function () {
		var t = document.getElementById("t");
		t.value = 1;
		t.dispatchEvent(new Event("input"));
		document.title = "wide=" + (document.documentElement.scrollWidth > innerWidth) + " says=" +
			document.getElementById("says").textContent;
	})</script></html>
	END
	$browser --window-size=390,844 --dump-dom "file://$(pwd)/probe.html" >dom 2>log
	atf_check -o match:'<title>wide=false says=At 1: ' cat dom
	# Without scripts all figures are there.
	sed 's|<script>.*</script>||' page.html >plain.html
	$browser --window-size=390,844 --dump-dom "file://$(pwd)/plain.html" >dom 2>log
	atf_check -o match:'At 2: ' -o match:'zen.example' -o match:'Suggested' -o match:'Overlap' cat dom
}

atf_init_test_cases()
{
	atf_add_test_case golden_reports
	atf_add_test_case files_in_any_wrapping
	atf_add_test_case formats_agree
	atf_add_test_case year_rolls_over_between_files
	atf_add_test_case trouble_is_said
	atf_add_test_case configuration_in_force
	atf_add_test_case page_in_a_browser
}
