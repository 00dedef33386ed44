# The tlsproxy processes behind the smallest screen there is (tests/helpers/tlsplay).

top=@abs_top_srcdir@ build=@abs_top_builddir@
. "$top/tests/helpers/lib.subr"

# key NAME KIND: NAME.key; KIND is ec or rsa
key()
{
	case $2 in
	ec) openssl ecparam -name prime256v1 -genkey -noout -out "$1.key" ;;
	rsa) openssl genrsa -out "$1.key" 2048 ;;
	esac 2>/dev/null
}

# cert NAME [ISSUER [DAYS]]: NAME.crt for NAME.key, self-signed or by the issuer; NAME.pem holds both
cert()
{
	local by="-signkey $1.key"
	[ -z "${2:-}" ] || by="-CA $2.crt -CAkey $2.key -CAcreateserial"
	openssl req -new -key "$1.key" -subj "/O=Test/CN=$1" -out "$1.csr"
	openssl x509 -req -in "$1.csr" $by -days "${3:-30}" -out "$1.crt" 2>/dev/null
	cat "$1.key" "$1.crt" >"$1.pem"
}

pair() # NAME KIND
{
	key "$1" "$2"
	cert "$1"
}

# tls_config: main.cf from standard input
tls_config()
{
	mkdir -p conf
	{
		echo "postscreen_tls_security_level = may"
		echo "smtpd_tls_loglevel = 1"
		cat
	} >conf/main.cf
}

# play [OPTION...]: tlsplay on $addr:2525
play()
{
	start play tlsplay "$@" "$work/conf" "$addr:2525"
	wait_line log/play '^ready'
}

# client OPTION...: s_client in SMTP, commands from standard input
client()
{
	timeout 20 openssl s_client -starttls smtp -connect "$addr:2525" -quiet "$@" 2>client.err | tr -d '\r'
}

facts() # OPTION...: the facts of one connection
{
	printf 'FACTS\r\nQUIT\r\n' | client "$@" >facts.out
	grep '^250 TLS' facts.out
}

# expect PATTERN FUNCTION...: some line of what it prints matches (grep -E)
expect()
{
	local pattern=$1
	shift
	"$@" >got || true
	grep -qE -e "$pattern" got || { cat got client.err; atf_fail "no /$pattern/ from $*"; }
}

refused() # FUNCTION...
{
	! "$@" >got || atf_fail "not refused: $* $(cat got)"
}

system_case versions
versions_body()
{
	setup
	pair ec ec
	pair rsa rsa
	echo "smtpd_tls_chain_files = $work/ec.pem, $work/rsa.pem" | tls_config
	play
	expect 'TLSv1.3 TLS_AES_256_GCM_SHA384 256/256 resumed=0 sni= matched=0 cert=none' facts -tls1_3
	expect 'TLSv1.2 ECDHE-ECDSA' facts -tls1_2 -cipher ECDHE+aECDSA
	expect 'TLSv1.2 ECDHE-RSA' facts -tls1_2 -cipher ECDHE+aRSA
	expect 'TLSv1.2 DHE-RSA' facts -tls1_2 -cipher DHE+aRSA
	expect 'TLSv1.1 ' facts -tls1_1 -cipher ALL:@SECLEVEL=0
	wait_line log/play 'Anonymous TLS connection established from \[127.0.0.1\]:[0-9]*: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 \(256/256 bits\) key-exchange X25519 server-signature (ECDSA \(prime256v1\)|RSA-PSS \(2048 bits\)) server-digest SHA256$'
	wait_line log/play 'established from .*: TLSv1.2 with cipher ECDHE-RSA-AES256-GCM-SHA384 \(256/256 bits\)$'
	atf_check_equal 5 "$(count log/play 'CONNECT from \[127.0.0.1\]:')"
	atf_check_equal 5 "$(count log/play 'DISCONNECT \[127.0.0.1\]:')"
}

system_case restricted
restricted_body()
{
	setup
	pair rsa rsa
	tls_config <<-END
	smtpd_tls_cert_file = $work/rsa.crt
	smtpd_tls_key_file = $work/rsa.key
	smtpd_tls_security_level = encrypt
	postscreen_tls_security_level = encrypt
	smtpd_tls_mandatory_ciphers = high
	smtpd_tls_mandatory_exclude_ciphers = AES256, kRSA
	END
	play
	refused facts -tls1_1 -cipher ALL:@SECLEVEL=0
	wait_line log/play 'TLS library problem: error:[0-9A-F]*:SSL routines::unsupported protocol:'
	wait_line log/play 'tlsproxy\[[0-9]*\]: TLS handshake failed for service=smtp peer=\[127.0.0.1\]:'
	wait_line log/play '^facts failed'
	refused facts -tls1_2 -cipher ECDHE-RSA-AES256-GCM-SHA384
	refused facts -tls1_2 -cipher AES128-SHA
	expect 'ECDHE-RSA-AES128-GCM-SHA256 128/128' facts -tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256
}

system_case resumes
resumes_body()
{
	setup
	pair ec ec
	echo "smtpd_tls_chain_files = $work/ec.pem" | tls_config
	play -n 2
	for version in tls1_2 tls1_3; do
		expect resumed=0 facts -$version -sess_out session
		for i in 1 2 3 4 5 6 7 8; do
			expect resumed=1 facts -$version -sess_in session
		done
	done
	# Over both processes, or the test says nothing.
	wait_for 20 eval 'facts >facts.one; [ "$(grep -o "tlsproxy\[[0-9]*\]: Anon" log/play | sort -u | wc -l)" = 2 ]' ||
	    atf_fail "one process did it all"
	# And across a reload.
	kill -HUP "$(pid_of play)"
	wait_for 5 eval '[ "$(count log/play ^ready)" = 2 ]' || atf_fail "no reload"
	expect resumed=1 facts -tls1_3 -sess_in session
}

system_case names
names_body()
{
	setup
	for name in default host parent listed stored named; do
		pair $name ec
	done
	printf '# comment\nlisted.example\n  %s\nhost.example %s\n' "$work/listed.pem" "$work/named.pem" >sni
	# What postmap -F makes: the chains themselves; and without -F the names of their files.
	{
		printf 'VERSION=3\nformat=print\ntype=btree\nHEADER=END\n'
		printf ' stored.example\n %s\n' "$(base64 -w 0 stored.pem)"
		printf ' named.example\n %s\n' "$work/named.pem"
		echo DATA=END
	} | mdb_load -n sni.lmdb
	tls_config <<-END
	smtpd_tls_chain_files = $work/default.pem
	tls_server_sni_maps = inline:{ {Host.Example = $work/host.pem}, .example=$work/parent.pem }
	    hash:$work/sni, lmdb:$work/sni
	END
	play
	subject()
	{
		printf 'QUIT\r\n' | timeout 10 openssl s_client -starttls smtp -connect "$addr:2525" "$@" 2>/dev/null |
		    grep '^subject'
	}
	expect 'CN = default' subject -noservername
	expect 'CN = host' subject -servername host.EXAMPLE
	expect 'CN = parent' subject -servername a.b.example
	expect 'CN = listed' subject -servername listed.example
	expect 'CN = stored' subject -servername stored.example
	expect 'CN = named' subject -servername named.example
	expect 'CN = default' subject -servername other.test
	expect 'CN = default' subject -servername 'bad name'
	wait_line log/play 'warning: TLS SNI from \[127.0.0.1\]:[0-9]* is invalid: bad name'
	expect 'sni=host.example matched=1' facts -servername host.example
	expect 'sni=other.test matched=0' facts -servername other.test
	wait_line log/play 'established from \[127.0.0.1\]:[0-9]* to host.example: TLSv1.3'
}

system_case client_certs
client_certs_body()
{
	setup
	pair server ec
	pair ca ec
	pair stranger ec
	key client ec
	cert client ca
	tls_config <<-END
	smtpd_tls_chain_files = $work/server.pem
	smtpd_tls_CAfile = $work/ca.crt
	smtpd_tls_ask_ccert = yes
	smtpd_tls_fingerprint_digest = sha1
	END
	play
	print=$(openssl x509 -in client.crt -noout -fingerprint -sha1 | sed 's/.*=//')
	expect 'cert=none cn= issuer= fp= key=' facts
	expect "cert=trusted cn=client issuer=ca fp=$print key=..:.*" facts -cert client.crt -key client.key
	expect 'cert=untrusted cn=stranger issuer=stranger fp=..:' facts -cert stranger.crt -key stranger.key
	wait_line log/play 'Trusted TLS connection established from .* client-signature ECDSA \(prime256v1\) client-digest SHA256'
	wait_line log/play 'Untrusted TLS connection established from'
	wait_line log/play 'certificate verification failed for \[127.0.0.1\]'
	stop play || atf_fail "does not stop"
	sed -i 's/= may/= encrypt/; $a smtpd_tls_req_ccert = yes' conf/main.cf
	: >log/play
	play
	refused facts -tls1_2
	refused facts -tls1_2 -cert stranger.crt -key stranger.key
	expect 'cert=trusted' facts -tls1_2 -cert client.crt -key client.key
}

# with LINE...: tlsplay anew with these settings
with()
{
	[ -z "$(pid_of play)" ] || stop play || atf_fail "does not stop"
	: >log/play
	{ printf '%s\n' "smtpd_tls_chain_files = $work/ec.pem, $work/rsa.pem" "$@"; } | tls_config
	play
}

# What s_client tells of the handshake.
seen()
{
	sleep 0.3 | timeout 10 openssl s_client -starttls smtp -connect "$addr:2525" "$@" 2>&1
}

# Each of these is seen by the client.
system_case parameters 120
parameters_body()
{
	setup
	pair ec ec
	pair rsa rsa
	pair root ec
	printf 'basicConstraints=CA:TRUE\n' >ca.ext
	key middle ec
	openssl req -new -key middle.key -subj /CN=middle -out middle.csr
	openssl x509 -req -in middle.csr -CA root.crt -CAkey root.key -CAcreateserial -extfile ca.ext -out middle.crt 2>/dev/null
	key client ec
	cert client middle
	mkdir folder
	cp root.crt folder/root.pem
	openssl rehash folder
	with
	# The built-in group, also where no certificate says how strong it should be.
	expect 'Temp Key: DH, 2048 bits' seen -tls1_2 -cipher DHE+aRSA
	expect 'Temp Key: DH, 2048 bits' seen -tls1_2 -cipher ADH:@SECLEVEL=0
	expect 'Session-ID: [0-9A-F]{64}' seen -tls1_2 -no_ticket
	expect 'TLS session ticket:' seen -tls1_3
	with 'smtpd_tls_dh1024_param_file = none' 'smtpd_tls_always_issue_session_ids = no' 'tls_ssl_options = NO_TICKET' \
	    'smtpd_tls_eecdh_grade = ultra'
	expect 'alert handshake failure' seen -tls1_2 -cipher DHE+aRSA
	expect 'Session-ID: $' seen -tls1_2 -no_ticket
	expect 'Temp Key: ECDH, secp384r1' seen -tls1_3
	! seen -tls1_3 | grep 'TLS session ticket:' || atf_fail "a ticket"
	with 'smtpd_tls_session_cache_timeout = 0' 'tls_preempt_cipherlist = yes' \
	    'tls_medium_cipherlist = ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384'
	! seen -tls1_2 | grep 'TLS session ticket:' || atf_fail "a ticket"
	expect 'Cipher is ECDHE-RSA-AES128' seen -tls1_2 -cipher ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256
	with 'tls_preempt_cipherlist = no' \
	    'tls_medium_cipherlist = ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384'
	expect 'Cipher is ECDHE-RSA-AES256' seen -tls1_2 -cipher ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256
	with 'smtpd_tls_ciphers = null' "smtpd_tls_CApath = $work/folder" 'smtpd_tls_ask_ccert = yes' 'tls_fast_shutdown_enable = no'
	expect 'Cipher is ECDHE-ECDSA-NULL-SHA' seen -tls1_2 -cipher NULL:@SECLEVEL=0
	expect 'cert=trusted' facts -cert client.crt -key client.key -cert_chain middle.crt
	expect 'cert=untrusted' facts -cert client.crt -key client.key
	with "smtpd_tls_CApath = $work/folder" 'smtpd_tls_ask_ccert = yes' 'smtpd_tls_ccert_verifydepth = 0'
	expect 'cert=untrusted' facts -cert client.crt -key client.key -cert_chain middle.crt
	wait_line log/play 'certificate verification failed for \[127.0.0.1\]:[0-9]*: num=22:'
}

system_case bad_clients
bad_clients_body()
{
	setup
	pair ec ec
	{
		echo "smtpd_tls_chain_files = $work/ec.pem"
		echo "postscreen_starttls_timeout = 2s"
	} | tls_config
	play
	# Garbage, half a handshake and silence, a close in the middle.
	atf_check -o ignore talk "$addr:2525" 220 '> STARTTLS' 220 '> MAIL FROM:<a@b>' eof
	wait_line log/play '^facts failed'
	atf_check -o ignore talk "$addr:2525" 220 '> STARTTLS' 220 "! $(printf '\026\003')" 'sleep 1' "! $(printf '\001')" eof
	wait_line log/play '^facts timeout'
	wait_line log/play 'warning: ciphertext read/write timeout for \[127.0.0.1\]'
	atf_check -o ignore talk "$addr:2525" 220 '> STARTTLS' 220 close
	wait_line log/play '^facts hangup'
	# What was sent before the handshake is not taken as plaintext after it.
	atf_check -o ignore talk "$addr:2525" 220 '! STARTTLS\r\nFACTS\r\n' 220 tls '> NOOP' 250 'has 250 ok' \
	    '> QUIT' 221 eof
	atf_check -o ignore talk "$addr:2525" 220 '> STARTTLS' 220 tls '> FACTS' 250 '> QUIT' 221 eof
	# Renegotiation is refused, the session goes on or ends, the process stays.
	{ printf 'R\n'; sleep 1; } | timeout 10 openssl s_client -starttls smtp -connect "$addr:2525" -tls1_2 >out 2>&1
	expect TLSv1.2 facts -tls1_2
	atf_check_equal 1 "$(count log/play ^process)"
}

anonymous() # PID: kB of its own
{
	awk '/^RssAnon/ { print $2 }' "/proc/$1/status"
}

system_case carries
carries_body()
{
	setup
	pair ec ec
	echo "smtpd_tls_chain_files = $work/ec.pem" | tls_config
	ASAN_OPTIONS=${ASAN_OPTIONS:-}:quarantine_size_mb=1 play
	size=60000000
	{ printf 'SINK %d\r\n' $size; head -c $size /dev/zero | tr '\0' a; printf 'QUIT\r\n'; } | client >out
	atf_check -o match:"^250 $size $((size * 97))$" -o match:'^221 bye' cat out
	printf 'FLOOD %d\r\nQUIT\r\n' $size | client >out
	atf_check_equal $size "$(tr -cd x <out | wc -c)"
	# A reader that pauses holds the sender back, not us up: the kernel's buffers and one piece.
	pid=$(sed -n 's/^process //p' log/play)
	before=$(anonymous "$pid")
	{ printf 'FLOOD %d\r\nQUIT\r\n' $size; sleep 3; } | client | { sleep 2; tr -cd x | wc -c; } >out &
	reader=$!
	sleep 1.5
	grown=$(($(anonymous "$pid") - before))
	wait $reader
	atf_check_equal $size "$(cat out)"
	[ $grown -lt 2000 ] || atf_fail "grown by $grown kB"
	# A sender whose reader is deaf is held back too, and loses nothing.
	{ printf 'DEAF 1000\r\nSINK 3000000\r\n'; head -c 3000000 /dev/zero | tr '\0' b; printf 'QUIT\r\n'; } | client >out
	atf_check -o match:'^250 awake' -o match:"^250 3000000 $((3000000 * 98))$" cat out
}

system_case half_close
half_close_body()
{
	setup
	pair ec ec
	echo "smtpd_tls_chain_files = $work/ec.pem" | tls_config
	play
	for version in tls1_2 tls1_3; do
		# s_client without -quiet shuts its direction down at the end of its input.
		printf 'WAITEOF\r\nHELLO\r\n' | timeout 10 openssl s_client -starttls smtp -connect "$addr:2525" -$version \
		    >out 2>&1
		wait_line log/play 'DISCONNECT'
	done
	printf 'EHLO x\r\nFLOOD 1000000\r\nNOOP\r\nQUIT\r\n' | client >out
	atf_check -o match:'221 bye' tail -n 1 out
}

system_case dies_and_drains
dies_and_drains_body()
{
	setup
	pair ec ec
	echo "smtpd_tls_chain_files = $work/ec.pem" | tls_config
	play
	pid=$(sed -n 's/^process //p' log/play)
	kill -9 "$pid"
	# Waits in the channel until the new process is there.
	expect TLSv1.3 facts
	wait_line log/play "^died $pid 9"
	# A session that began before the reload ends after it.
	{ printf 'EHLO x\r\n'; sleep 1.5; printf 'FACTS\r\nQUIT\r\n'; } | client >out &
	session=$!
	sleep 0.7
	old=$(sed -n 's/^process //p' log/play | tail -n 1)
	kill -HUP "$(pid_of play)"
	wait_for 5 eval '[ "$(count log/play ^ready)" = 2 ]' || atf_fail "no reload"
	kill -0 "$old" || atf_fail "ended under a session"
	wait $session
	atf_check -o match:'^250 TLSv1.3' -o match:'^221 bye' cat out
	wait_for 5 stopped "$old" || atf_fail "does not drain"
}

system_case replaced_files
replaced_files_body()
{
	setup
	pair one ec
	pair two ec
	cp one.pem used.pem
	echo "smtpd_tls_chain_files = $work/used.pem" | tls_config
	play
	kill -USR1 "$(pid_of play)"
	wait_line log/play '^changed 0 0'
	cp two.pem used.pem
	kill -USR1 "$(pid_of play)"
	wait_line log/play '^changed 0 1'
	kill -HUP "$(pid_of play)"
	wait_for 5 eval '[ "$(count log/play ^ready)" = 2 ]' || atf_fail "no reload"
	# A key that does not match is refused, and the old one stays in use.
	cat one.key two.crt >used.pem
	kill -HUP "$(pid_of play)"
	wait_line log/play '^kept'
	wait_line log/play "^error: $work/used.pem: the private key in $work/used.pem does not belong to this certificate"
	expect TLSv1.3 facts
}

system_case levels
levels_body()
{
	setup
	pair ec ec
	{
		echo "smtpd_tls_chain_files = $work/ec.pem"
		echo "postscreen_tls_loglevel_maps = inline:{ 127.0.0.1=4, 127.0.0.2=3, 127.0.0.3=0, {127.0.0.4 = summary, cache}, 127.0.0.5=nonsense }"
	} | tls_config
	play
	expect resumed=0 facts -tls1_2 -sess_out session
	expect resumed=1 facts -tls1_2 -sess_in session
	for line in 'setting up TLS connection from \[127.0.0.1\]:' 'TLS cipher list "aNULL:-aNULL:HIGH' \
	    'SSL_accept:SSLv3/TLS write server hello' 'Issuing session ticket, key expiration: [0-9]' \
	    'Decrypting session ticket, key expiration: [0-9]' 'Reusing old session \(RFC 5077 session ticket\)' \
	    'read from [0-9a-fx]* \[[0-9a-fx]*\] \([0-9]* bytes => [0-9]*\)' '0000 16 03 01'; do
		wait_line log/play "tlsproxy\[[0-9]*\]: .*$line"
	done
	# The whole session at 4, the handshake at 3: what is in plaintext there says which.
	: >log/play
	facts -tls1_2 -bind 127.0.0.2 >got
	wait_line log/play 'DISCONNECT \[127.0.0.2\]'
	part=$(count log/play 'bytes =>')
	: >log/play
	facts -tls1_2 >got
	wait_line log/play 'DISCONNECT \[127.0.0.1\]'
	whole=$(count log/play 'bytes =>')
	[ "$part" -gt 2 ] || atf_fail "no dump of the handshake"
	[ "$whole" -gt "$part" ] || atf_fail "no dump of the session: $whole, $part"
	: >log/play
	facts -tls1_2 -bind 127.0.0.3 >got
	wait_line log/play 'DISCONNECT \[127.0.0.3\]'
	atf_check_equal 2 "$(count log/play 'tlsproxy\[')"
	: >log/play
	facts -tls1_2 -bind 127.0.0.4 >got
	wait_line log/play 'DISCONNECT \[127.0.0.4\]'
	atf_check_equal 4 "$(count log/play 'tlsproxy\[')"
	: >log/play
	facts -tls1_2 -bind 127.0.0.5 >got # as everybody else
	wait_line log/play 'DISCONNECT \[127.0.0.5\]'
	atf_check_equal 3 "$(count log/play 'tlsproxy\[')"
}

# A process that hangs is ended; whoever came meanwhile is served by the next.
system_case watchdog
watchdog_body()
{
	setup
	pair ec ec
	echo "smtpd_tls_chain_files = $work/ec.pem" | tls_config
	play
	expect TLSv1.3 facts # it serves
	pid=$(sed -n 's/^process //p' log/play)
	kill -STOP "$pid"
	facts >waiting &
	sleep 10.3
	kill -CONT "$pid"
	wait_line log/play "^died $pid 14"
	wait $! || fail_with waiting
}

# complaint EXPECTED SETTING...: what a load says of main.cf with these settings
complaint()
{
	local expected=$1
	shift
	printf 'postscreen_tls_security_level = may\n' >conf/main.cf
	printf '%s\n' "$@" >>conf/main.cf
	rm -f said
	# A signal that meets the leak check at its exit can hang that: there is none here.
	ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0 timeout -k 2 10 tlsplay conf "$addr:2525" >said 2>&1 &
	local pid=$!
	wait_for 5 grep -qE "^ready|^(error|warning): " said || true
	kill $pid 2>/dev/null
	wait $pid || true
	grep -qF -e "$expected" said || { cat conf/main.cf said; atf_fail "not said: $expected"; }
}

system_case complaints 120
complaints_body()
{
	setup
	mkdir conf
	pair ec ec
	pair other ec
	pair rsa rsa
	key middle ec
	pair root ec
	printf 'basicConstraints=CA:TRUE\n' >ca.ext
	openssl req -new -key middle.key -subj /CN=middle -out middle.csr
	openssl x509 -req -in middle.csr -CA root.crt -CAkey root.key -CAcreateserial -extfile ca.ext -out middle.crt 2>/dev/null
	key leaf ec
	cert leaf middle
	chains="smtpd_tls_chain_files ="
	complaint "error: conf/main.cf:2: smtpd_tls_cert_file: $work/no: No such file or directory" \
	    "smtpd_tls_cert_file = $work/no"
	complaint "$work/ec.crt: the private key in $work/other.key does not belong to this certificate" \
	    "smtpd_tls_cert_file = $work/ec.crt" "smtpd_tls_key_file = $work/other.key"
	complaint "smtpd_tls_key_file: $work/ec.crt: no private key in it" "smtpd_tls_cert_file = $work/ec.crt"
	cat leaf.key leaf.crt middle.crt root.crt >good.pem
	complaint ready "$chains $work/good.pem"
	cat leaf.key leaf.crt root.crt middle.crt >order.pem
	complaint "$work/order.pem: the chain is out of order: certificate 1 was issued by certificate 3" "$chains $work/order.pem"
	cat leaf.key leaf.crt ec.crt >broken.pem
	complaint "$work/broken.pem: the chain is broken: certificate 1 was not issued by certificate 2" "$chains $work/broken.pem"
	cat leaf.key middle.crt root.crt leaf.crt >last.pem
	complaint "$work/last.pem: the private key in $work/last.pem belongs to certificate 3" "$chains $work/last.pem"
	cat leaf.crt leaf.key >reverse.pem
	complaint "$work/reverse.pem: a certificate before its private key" "$chains $work/reverse.pem"
	complaint "$work/ec.key: no certificate after the private key" "$chains $work/ec.key"
	complaint "$work/other.pem: a second private key before any certificate" "$chains $work/ec.key, $work/other.pem"
	complaint "$work/other.pem: a second certificate of the kind EC prime256v1" "$chains $work/ec.pem, $work/other.pem"
	openssl pkey -in ec.key -aes128 -passout pass:x -out locked.key
	complaint "$work/locked.key: the private key is protected by a password" \
	    "smtpd_tls_cert_file = $work/ec.crt" "smtpd_tls_key_file = $work/locked.key"
	sed 's/^MII/MJJ/' ec.crt >garbled.crt
	complaint "$work/garbled.crt: certificate 1 cannot be decoded" \
	    "smtpd_tls_cert_file = $work/garbled.crt" "smtpd_tls_key_file = $work/ec.key"
	openssl genrsa -out weak.key 1024 2>/dev/null
	cert weak
	complaint "$work/weak.crt: a key of RSA 1024 bits is weak" "smtpd_tls_cert_file = $work/weak.crt" "smtpd_tls_key_file = $work/weak.key"
	openssl dhparam -out dh 512 2>/dev/null
	complaint "a group of 512 bits is too weak" "$chains $work/ec.pem" "smtpd_tls_dh1024_param_file = $work/dh"
	complaint ready "$chains $work/ec.pem" "smtpd_tls_dh1024_param_file = auto"
	cert ec "" 5
	complaint "$work/ec.crt: the certificate of CN=ec,O=Test expires in " \
	    "smtpd_tls_cert_file = $work/ec.crt" "smtpd_tls_key_file = $work/ec.key"
	complaint "error: conf/main.cf:3: tls_server_sni_maps: $work/x: cannot be opened: No such file" \
	    "$chains $work/ec.pem" "tls_server_sni_maps = regexp:$work/x"
	complaint "static:$work/ec.pem: the keys of such a table cannot be listed" \
	    "$chains $work/ec.pem" "tls_server_sni_maps = static:$work/ec.pem"
	complaint "inline:{a..b=$work/ec.pem}: \"a..b\" is not a host name" \
	    "$chains $work/ec.pem" "tls_server_sni_maps = inline:{a..b=$work/ec.pem}"
	complaint "tls_server_sni_maps: TUlJ: No such file" "$chains $work/ec.pem" "tls_server_sni_maps = inline:{x=TUlJ}"
	complaint "smtpd_tls_CAfile: $work/ec.key: no certificate in it" "$chains $work/ec.pem" "smtpd_tls_CAfile = $work/ec.key"
	complaint "notice: conf/main.cf:3: smtpd_tls_loglevel: trace is without effect" "$chains $work/ec.pem" "smtpd_tls_loglevel = 1, trace"
	complaint "both this and one or more of the older" "$chains $work/ec.pem" "smtpd_tls_cert_file = $work/rsa.crt"
}

system_case dane
dane_body()
{
	setup
	pair ca ec
	key leaf rsa
	cert leaf ca
	cat leaf.pem ca.crt >chain.pem
	echo "smtpd_tls_chain_files = $work/chain.pem" | tls_config
	echo "myhostname = mx.example.test" >>conf/main.cf
	digest() { openssl pkey -in "$1" -pubout -outform DER | sha256sum | cut -d' ' -f1; }
	atf_check -o match:"^_25._tcp.mx.example.test. IN TLSA 3 1 1 $(digest leaf.key)$" \
	    -o match:"^_25._tcp.mx.example.test. IN TLSA 2 1 1 $(digest ca.key)$" \
	    -o match:"^; $work/chain.pem: CN=leaf,O=Test, RSA 2048, until 20" "$build/gatehousectl" -c conf tlsa
	atf_check -o match:'^."owner":"_25._tcp.other.test.","usage":3,' "$build/gatehousectl" -c conf --json tlsa other.test
	sed -i '1s/may/none/' conf/main.cf
	atf_check -s exit:1 -e match:'no certificate is in use' "$build/gatehousectl" -c conf tlsa
	sed -i '1s/none/may/' conf/main.cf
	echo >chain.pem
	atf_check -s exit:78 -e match:"$work/chain.pem: no PEM data" "$build/gatehousectl" -c conf tlsa
}

system_case daemon
daemon_body()
{
	setup
	pair ec ec
	gatehouse_config <<-END
	postscreen_tls_security_level = may
	smtpd_tls_chain_files = $work/ec.pem
	gatehouse_log = $work/log/gatehouse
	postscreen_pipelining_enable = yes
	END
	# Without -f the command ends when the workers serve, the keys with them; what it is called from need not stay.
	ASAN_OPTIONS=$asan_options:detect_leaks=0 atf_check timeout 20 "$build/gatehouse" -c conf
	wait_line log/gatehouse ': ready: '
	master=$(sed -n 's/.*gatehouse.\([0-9]*\).: ready: .*/\1/p' log/gatehouse)
	echo "$master gatehouse" >>pids
	atf_check -o ignore talk -s 127.1.2.3 "$addr:2525" 220- 220 '> EHLO x' 250 '> STARTTLS' 220 tls '> EHLO x' 250 '> QUIT' 221 eof
	atf_check -o match:'2 workers serve' env ASAN_OPTIONS=$asan_options:detect_leaks=0 "$build/gatehousectl" -c "$work/conf" reload
	atf_check kill "$master"
	wait_for 10 stopped "$master" || atf_fail "does not stop"
	! grep -E 'ERROR: AddressSanitizer|runtime error:' log/gatehouse || atf_fail "gatehouse broke"
	echo 'postscreen_greet_wait = long' >>conf/main.cf
	ASAN_OPTIONS=$asan_options:detect_leaks=0 atf_check -s exit:78 -e match:'main.cf:[0-9]+: parameter postscreen_greet_wait' \
	    timeout 20 "$build/gatehouse" -c conf
}

atf_init_test_cases()
{
	atf_add_test_case versions
	atf_add_test_case restricted
	atf_add_test_case resumes
	atf_add_test_case names
	atf_add_test_case client_certs
	atf_add_test_case parameters
	atf_add_test_case bad_clients
	atf_add_test_case carries
	atf_add_test_case half_close
	atf_add_test_case dies_and_drains
	atf_add_test_case replaced_files
	atf_add_test_case levels
	atf_add_test_case watchdog
	atf_add_test_case complaints
	atf_add_test_case dane
	atf_add_test_case daemon
}
