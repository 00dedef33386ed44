# The temporary allowlist: kept over restarts and crashes, from Postfix and back, changed by hand.

top=@abs_top_srcdir@ build=@abs_top_builddir@
. "$top/tests/helpers/lib.subr"

from="MAIL FROM:<a@example.net>"
to="RCPT TO:<inbox@example.org>"

system_case survives
survives_body()
{
	setup
	gatehouse_config </dev/null
	gatehouse_start
	visit 127.1.6.1
	wait_line "$log" 'PASS NEW \[127\.1\.6\.1\]'
	wait_for 3 known 127.1.6.1 || atf_fail "not committed"
	# A worker is killed: its successor remembers.
	for pid in $(gatehouse_workers); do kill -9 "$pid" 2>/dev/null || true; done
	wait_port "$addr" 2525
	visit 127.1.6.1
	wait_line "$log" 'PASS OLD \[127\.1\.6\.1\]'
	gatehouse_stop
	gatehouse_start
	visit 127.1.6.1
	wait_for 5 twice_known || atf_fail "forgotten over a restart"
	gatehouse_stop
}

twice_known()
{
	[ "$(count "$log" 'PASS OLD \[127\.1\.6\.1\]')" = 2 ]
}

postmap()
{
	LD_LIBRARY_PATH=$(postfix_libraries) "$real/postfix/usr/sbin/postmap" -c "$work/postfix/conf" "$@"
}

system_case from_postfix
from_postfix_body()
{
	setup
	gatehouse_config </dev/null
	later=$(($(date +%s) + 86400))
	printf '127.1.6.2\t%s\n127.1.6.3\t%s\n_LAST_CACHE_CLEANUP_COMPLETED_\t1700000000\n' \
	    "$later;1;1;1;1" "$((later - 100));5;1;1;1" >postscreen_cache
	# Through a real postscreen cache: what Postfix keeps, as its own postmap prints it.
	postfix_make </dev/null
	postmap btree:postscreen_cache || atf_fail "postmap"
	postmap -s btree:postscreen_cache >export || atf_fail "postmap -s"
	rm postscreen_cache postscreen_cache.db
	atf_check -o match:'^2 records imported' sh -c "'$build/gatehousectl' -c '$work/conf' cache import <export"
	gatehouse_start
	visit 127.1.6.2
	wait_line "$log" 'PASS OLD \[127\.1\.6\.2\]'
	# By hand, beside the running daemon.
	atf_check -o ignore "$build/gatehousectl" -c "$work/conf" cache set 127.1.6.4
	visit 127.1.6.4
	wait_line "$log" 'PASS OLD \[127\.1\.6\.4\]'
	atf_check -o ignore "$build/gatehousectl" -c "$work/conf" cache delete 127.1.6.4
	atf_check -s exit:1 -e match:'not in the cache' "$build/gatehousectl" -c "$work/conf" cache get 127.1.6.4
	atf_check -o match:"^127.1.6.2	$later;1;1;1;1\$" -o match:"^127.1.6.3	" "$build/gatehousectl" -c "$work/conf" cache export
	atf_check -o match:'"records":2,' "$build/gatehousectl" -c "$work/conf" --json cache stats
	# And back: postmap takes what export prints.
	"$build/gatehousectl" -c "$work/conf" cache export >postscreen_cache
	postmap btree:postscreen_cache || atf_fail "postmap does not take the export"
	atf_check -o inline:"$later;1;1;1;1\\n" sh -c "LD_LIBRARY_PATH=$(postfix_libraries) \
	    '$real/postfix/usr/sbin/postmap' -c '$work/postfix/conf' -q 127.1.6.2 btree:postscreen_cache"
	atf_check -s exit:1 -o match:'^0 records' -e match:'line 1: not an address' \
	    sh -c "echo junk | '$build/gatehousectl' -c '$work/conf' cache import"
	gatehouse_stop
}


# The daemon under kill -9, 40 rounds: workers, the keeper, the master, all at once; while clients pass and an
# import runs. What an independent reader has seen committed is there afterwards, and every record is whole.
system_case killed_while_writing 150
killed_while_writing_body()
{
	local round pids
	setup
	gatehouse_config <<-END
	postscreen_greet_wait = 1s
	postscreen_pipelining_enable = yes
	END
	later=$(($(date +%s) + 1000000))
	for round in $(seq 40); do
		for k in 1 2 3 4; do printf '127.1.%d.%d\t%d;1;0;0;0\n' "$round" "$k" "$later"; done
	done >clients
	atf_check -o match:'^160 records' "$build/gatehousectl" -c "$work/conf" cache import clients
	: >import.err
	for round in $(seq 40); do
		gatehouse_start
		records "$round" | ctl cache import >>import.err 2>&1 &
		import=$!
		for k in 1 2 3 4; do
			talk -q -s "127.1.$round.$k" "$addr:2525" 220 '> EHLO c.example.test' 250 "> $from" 250 \
			    "> $to" ... '> QUIT' ... eof >>talk.err 2>&1 &
		done
		sleep "0.$((round * 7 % 30 + 10))"
		case $((round % 4)) in
		0) pids=$(gatehouse_workers) ;;
		1) pids=$(keeper) ;;
		2) pids= ;;
		3) pids=$(pgrep -P "$(pid_of gatehouse)") ;;
		esac
		kill -9 $pids 2>/dev/null
		ctl cache export >before || atf_fail "round $round: no export beside the daemon"
		pids="$(pgrep -P "$(pid_of gatehouse)") $(pid_of gatehouse)"
		kill -9 "$(pid_of gatehouse)"
		wait_for 10 all_stopped $pids || atf_fail "round $round: children of a dead master are still there"
		wait $import || true
		ctl cache export >after || atf_fail "round $round: no export"
		check_records "$round"
	done
	! grep -hE 'was damaged|AddressSanitizer|runtime error' log/gatehouse || atf_fail "damaged"
	[ "$(count after '^10\.')" -gt 2000 ] || atf_fail "only $(count after '^10\.') records were written"
	passed=$(awk -F'[\t;]' '/^127\.1\./ && $4 > 1 { n++ } END { print n + 0 }' after)
	[ "$passed" -gt 40 ] || atf_fail "only $passed clients were remembered"
	# It is as good as new.
	gatehouse_start
	visit 127.1.6.99
	wait_for 5 known 127.1.6.99 || atf_fail "no memory at the end"
	gatehouse_stop
}

# For three seconds, not all at once; each holds its own number five times.
records() # ROUND
{
	awk -v round="$1" 'BEGIN { for (i = 0; i < 9000; i++) {
		n = round * 65536 + i; t = 2000000000 + n
		printf "10.%d.%d.%d\t%d;%d;%d;%d;%d\n", n / 65536, n / 256 % 256, n % 256, t, t, t, t, t
		if (i % 30 == 29) { fflush(); system("sleep 0.01") } } }'
}

check_records() # ROUND
{
	awk -F'[\t.;]' '
	NF != 9 { print "half a record: " $0; bad = 1; next }
	$1 == 10 {
		t = 2000000000 + $2 * 65536 + $3 * 256 + $4
		for (i = 5; i <= 9; i++) if ($i != t) { print "mixed: " $0; bad = 1 }
	}
	FNR == NR { before[$1 "." $2 "." $3 "." $4] = $7; next }
	{ after[$1 "." $2 "." $3 "." $4] = $7 }
	END {
		for (a in before) {
			if (!(a in after)) { lost = a; bad++ }
			else if (after[a] < before[a]) { lost = a; bad++ }
		}
		if (bad) print bad " lost or set back, as " lost
		exit bad > 0
	}' before after || atf_fail "round $1: $(wc -l <before) records before, $(wc -l <after) after; $(tail -n 1 log/gatehouse)"
}

all_stopped() # PID...
{
	local pid
	for pid; do
		stopped "$pid" || return 1
	done
}

# gatehousectl may be stopped in the middle of its changes: the daemon writes on, and starts.
system_case stopped_by_hand
stopped_by_hand_body()
{
	setup
	gatehouse_config </dev/null
	mkfifo lines
	gatehouse_start
	import_from_fifo
	visit 127.1.6.21
	wait_for 3 known 127.1.6.21 || atf_fail "the writer waits for gatehousectl"
	kill -CONT "$import"
	exec 3>&-
	wait_for 5 stopped "$import" || atf_fail "the import does not end"
	atf_check -o match:'^5000 records' cat log/import
	[ "$(ctl cache export | wc -l)" -gt 5000 ] || atf_fail "the import is not complete"
	gatehouse_stop
	# The same where no daemon runs: it is the writer, until it is gone.
	import_from_fifo
	gatehouse_start
	visit 127.1.6.21
	wait_line "$log" 'PASS OLD \[127\.1\.6\.21\]'
	wait_line "$log" 'cannot write: another program does' 10
	visit 127.1.6.22
	wait_line "$log" 'PASS NEW \[127\.1\.6\.22\]'
	atf_check -s exit:1 -e match:'another program writes it' "$build/gatehousectl" -c "$work/conf" cache set 127.1.6.23
	kill -9 "$import"
	exec 3>&-
	wait_line "$log" 'works again' 10
	wait_for 5 known 127.1.6.22 || atf_fail "what was learned meanwhile is lost"
	gatehouse_stop
}

# An import that has taken 5000 lines, waits for more, and is stopped; descriptor 3 keeps the pipe open.
import_from_fifo()
{
	: >log/import
	start import "$build/gatehousectl" -c "$work/conf" cache import lines
	import=$started
	exec 3>lines
	awk 'BEGIN { for (i = 0; i < 5000; i++) printf "10.77.%d.%d\t5;5;5;5;5\n", i / 256, i % 256 }' >&3
	sleep 0.5
	kill -STOP "$import"
}

atf_init_test_cases()
{
	atf_add_test_case survives
	atf_add_test_case from_postfix
	atf_add_test_case killed_while_writing
	atf_add_test_case stopped_by_hand
}
