# The status page in a browser, with clients who say nasty things.

top=@abs_top_srcdir@ build=@abs_top_builddir@
. "$top/tests/helpers/lib.subr"

browser=$(command -v chromium || command -v chromium-browser || true)

# browse OPTION... : one start of the browser, with a profile of its own
browse()
{
	rm -rf profile
	timeout 60 "$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync \
	    --disable-background-networking --disable-component-update --user-data-dir="$work/profile" \
	    --hide-scrollbars --virtual-time-budget=6000 "$@" "http://$addr:9125/" 2>>log/browser
}

nasty_clients()
{
	local i=0 name
	for name in '<img/src=x/onerror=document.title="owned">' '"><script>document.title="owned"</script>' \
	    "'onmouseover='alert(1)" '&lt;b&gt;&#x3c;i&#x3e;' '</main><h1>owned</h1>' '<!--' "$(printf '\342\200\256live')" '@BODY@' '%s%n'; do
		i=$((i + 1))
		talk -q -s "127.1.2.$i" "$addr:2525" 220- 220 "! EHLO $name\r\n" 250 '> MAIL FROM:<a@b>' 250 '> RCPT TO:<c@d>' \
		    550 '> QUIT' 221 eof &
	done
	wait_for 15 have_ended 9 || fail_with records
}

have_ended()
{
	[ "$(grep -c '"verdict":"reject"' records)" -ge "$1" ] && curl -s "http://$addr:9125/" | grep -q '127\.1\.2\.9<'
}

system_case page 120
page_body()
{
	[ -n "$browser" ] || atf_skip "no chromium"
	setup
	printf ':127.0.0.2:listed\n127.1.2.0/24\n127.0.0.2\n' >listed
	rbldnsd_start "$addr" 5353 bl.example:ip4set:listed
	gatehouse_config <<-END
	gatehouse_metrics_listen = $addr:9125
	gatehouse_dns_servers = $addr:5353
	postscreen_dnsbl_sites = bl.example
	postscreen_dnsbl_action = enforce
	postscreen_bare_newline_enable = yes
	postscreen_tls_security_level = may
	smtpd_tls_chain_files = $work/chain.pem
	END
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 5 \
	    -subj /CN=gate.example.test 2>log/openssl
	cat key.pem cert.pem >chain.pem
	gatehouse_start
	nasty_clients
	# Without scripts it is whole, and it asks for nothing from elsewhere.
	curl -si "http://$addr:9125/" >plain
	atf_check -o match:'^Content-Security-Policy: default-src .none.; .*style-src .nonce-[0-9a-f]{32}.' \
	    -o match:'^X-Frame-Options: DENY' -o match:'^Cache-Control: no-store' -o match:'<noscript>.*refresh' \
	    -o match:'bl\.example' -o match:'127\.1\.2\.0/24' -o match:'&#60;img/src=x' cat plain
	atf_check -o match:'Needs attention.*A TLS certificate expires in 4 days\.' cat plain
	atf_check -s exit:1 grep -iE 'https?://|url\(|@import|<script[^>]*src|<link' plain
	atf_check_equal 2 "$(grep -c '<style nonce\|<script nonce' plain)"
	atf_check -s exit:1 grep -nE '<img|<h1>owned|<!--|@NONCE@' plain
	! LC_ALL=C grep -nP '[^\x00-\x7f]' plain || atf_fail "foreign bytes"
	[ "$(grep -o 'nonce-[0-9a-f]*' plain | head -1)" != "$(curl -si "http://$addr:9125/" | grep -o 'nonce-[0-9a-f]*' | head -1)" ] ||
	    atf_fail "the nonce is the same twice"
	# In the browser: what was said is text, the page has fetched itself anew, nothing has run.
	browse --dump-dom >dom
	atf_check -o match:'<title>gate.example.test - Gatehouse</title>' -o match:'<body class="">' -o match:'in the last hour' \
	    -o match:'&lt;img/src=x/onerror=document.title="owned"&gt;' -o match:'&lt;/main&gt;&lt;h1&gt;owned' \
	    -o not-match:'<img' -o not-match:'<h1>owned' cat dom
	# As pictures: light, dark, as wide as a phone.
	browse --window-size=1280,1000 --screenshot="$work/light.png" >/dev/null
	browse --window-size=1280,1000 --blink-settings=preferredColorScheme=0 --screenshot="$work/dark.png" >/dev/null
	browse --window-size=390,1400 --screenshot="$work/phone.png" >/dev/null
	for picture in light dark phone; do
		[ "$(wc -c <$picture.png)" -gt 20000 ] || atf_fail "$picture.png shows nothing"
	done
	! cmp -s light.png dark.png || atf_fail "dark is as light"
	gatehouse_stop
}

atf_init_test_cases()
{
	atf_add_test_case page
}
