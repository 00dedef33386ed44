# The same byte-for-byte client scripts against Debian's postscreen and against Gatehouse, each under the
# same configurations; what the clients hear and what the logs say is compared. See
# tests/system/differential/: scripts, one .cf a configuration, and the list of intended differences.

top=@abs_top_srcdir@ build=@abs_top_builddir@
. "$top/tests/helpers/lib.subr"

here=$top/tests/system/differential
configs=$(cd "$here" && echo *.cf | sed 's/\.cf//g')

port_of() # CONFIG: the same order everywhere
{
	echo "$configs" | tr ' ' '\n' | awk -v name="$1" '$1 == name { print 2600 + NR }'
}

common_lines()
{
	cat <<-END
	compatibility_level = 3.6
	myhostname = mx.example.test
	mynetworks = 127.0.0.0/30
	postscreen_greet_wait = 2s
	postscreen_pre_queue_limit = 1000
	postscreen_post_queue_limit = 1000
	postscreen_client_connection_count_limit = 50
	default_process_limit = 400
	smtpd_tls_cert_file = $work/cert.pem
	smtpd_tls_key_file = $work/key.pem
	tlsproxy_tls_security_level = may
	END
}

# Each configuration is a postscreen of its own on a port of its own.
stock_services()
{
	local name
	for name in $configs; do
		echo "$addr:$(port_of "$name") inet n - n - 1 postscreen"
		echo "  -o {postscreen_cache_map=btree:$work/postfix/data/$name}"
		sed -n 's/^\([a-z].*\)$/  -o {\1}/p' "$here/$name.cf"
	done
}

gatehouse_conf() # CONFIG
{
	mkdir -p "ours/$1/data"
	{
		common_lines
		cat "$here/$1.cf"
		cat <<-END
		gatehouse_listen = $addr2:$(port_of "$1")
		gatehouse_control = $work/ours/$1/control
		gatehouse_user = postfix
		gatehouse_workers = 1
		gatehouse_log = stderr
		gatehouse_record_log = $work/ours/$1/records
		gatehouse_session_limit = 500
		gatehouse_after_deep_tests = retry
		gatehouse_dns_servers = $addr:53
		data_directory = $work/ours/$1/data
		queue_directory = $work/postfix/queue
		postscreen_cache_map = lmdb:$work/ours/$1/data/cache
		END
	} >"ours/$1/main.cf"
	chown -R postfix "ours/$1/data"
}

start_lists()
{
	printf '127.8.0.0/16 :127.0.0.2:listed\n127.11.0.0/16 :127.0.0.2:listed\n' >bl.zone
	printf '127.10.0.0/16 :127.0.0.5:good\n127.11.0.0/16 :127.0.0.5:good\n' >wl.zone
	start rbldnsd rbldnsd -n -q -w "$work" -b "$addr/53" -u nobody -c 1s -t 2100 \
	    bl.example.test:ip4set:bl.zone wl.example.test:ip4set:wl.zone
	printf 'nameserver %s\n' "$addr" >resolv.conf
}

certificate()
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
	    -subj /CN=mx.example.test -keyout key.pem -out cert.pem 2>/dev/null
}

# postscreen asks the C library, which knows one way only to be told of a name server.
start_stock()
{
	common_lines | postfix_make
	stock_services >>postfix/conf/master.cf
	LD_LIBRARY_PATH=$(postfix_libraries) start postfix unshare -m sh -c \
	    "mount --bind $work/resolv.conf /etc/resolv.conf && exec \"\$@\"" sh \
	    "$real/postfix/usr/lib/postfix/sbin/master" -c "$work/postfix/conf" -d
	wait_line "$work/postfix/maillog" 'daemon started' 10
}

start_ours()
{
	local name
	for name in $configs; do
		gatehouse_conf "$name"
		ASAN_OPTIONS=$asan_options:detect_leaks=0 \
		    start "ours-$name" "$build/gatehouse" -c "$work/ours/$name" -f
	done
	for name in $configs; do
		wait_line "$work/log/ours-$name" 'listening on' 20
	done
}

play() # WHICH ADDRESS: all configurations at once
{
	local name pids=
	mkdir -p "$1"
	for name in $configs; do
		mkdir -p "$1/$name"
		"$build/tests/helpers/play" "$here/scripts" "$name" "$2:$(port_of "$name")" "$1/$name" \
		    >"$1/$name.clients" &
		pids="$pids $!"
	done
	wait $pids
	sleep 0.5
}

# What a log says about one client, without times, ports and the server's address. Answers of lists come
# in any order.
log_of() # FILE CLIENT
{
	grep -hE -e "[][ ]$2[] ]" "$1" | sed -nE \
	    -e 's,^.*/(postscreen|dnsblog)\[[0-9]+\]: (info: )?,\1: ,' \
	    -e "s,\\[$2\\]:[0-9]+,CLIENT,g; s,\\[$2\\]([0-9]+:),[CLIENT]PORT:,g; s,addr $2 ,addr CLIENT ,g" \
	    -e "s,\\[($addr|$addr2)\\]:[0-9]+,SERVER,g" \
	    -e 's,^(postscreen: (PREGREET [0-9]+|HANGUP)) after [0-9.]+ ,\1 after T ,' \
	    -e '/^(postscreen|dnsblog):/p' >lines
	grep '^dnsblog' lines | sort
	grep '^postscreen' lines
}

# The dialogue and the log of each script in one file, ours and theirs.
gather()
{
	local name script client
	mkdir -p stock.all ours.all
	for name in $configs; do
		while read -r script client; do
			{
				cat "stock/$name/$script"
				log_of postfix/maillog "$client"
			} | sed "s,\\[$client\\],[CLIENT],g" >"stock.all/$script"
			{
				cat "play/$name/$script"
				log_of "log/ours-$name" "$client"
			} | sed "s,\\[$client\\],[CLIENT],g" >"ours.all/$script"
		done <"play/$name.clients"
	done
}

system_case same_as_postscreen 120
same_as_postscreen_body()
{
	setup
	certificate
	start_lists
	start_stock
	start_ours
	play stock "$addr" &
	stock=$!
	play play "$addr2"
	wait $stock
	gather
	judge "$here/differences" stock.all ours.all >judgement || atf_fail "the list of differences cannot be read"
	cat judgement
	[ ! -s judgement ] || atf_fail "$(grep -c '^---' judgement) of $(ls ours.all | wc -l) scripts differ"
	echo "$(ls ours.all | wc -l) scripts, $(find intended -size +0 | wc -l) with intended differences"
}

atf_init_test_cases()
{
	atf_add_test_case same_as_postscreen
}
