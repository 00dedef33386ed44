# The store in bad days: a warning, screening goes on, and memory comes back by itself when the cause is gone.

top=@abs_top_srcdir@ build=@abs_top_builddir@
. "$top/tests/helpers/lib.subr"

system_case wrong_owner
wrong_owner_body()
{
	setup
	gatehouse_config </dev/null
	mkdir -m 0700 data/cache
	chown daemon data/cache
	gatehouse_start
	wait_line "$log" 'warning: cache lmdb:.*: cannot open: belongs to user id 1, not'
	visit 127.1.6.6
	wait_line "$log" 'PASS NEW \[127\.1\.6\.6\]'
	atf_check -s ignore -o match:'^broken +store .*Permission denied for nobody' -e ignore \
	    "$build/gatehousectl" -c "$work/conf" doctor
	# When the cause is gone the memory comes back, for the jailed workers too.
	chown nobody data/cache
	wait_line "$log" 'works again' 10
	remembered() { visit 127.1.6.7; grep -q 'PASS OLD \[127\.1\.6\.7\]' "$log"; }
	wait_for 5 remembered || atf_fail "no memory after the repair"
	gatehouse_stop
}

# on_small_disk [MOUNT-OPTION]: the daemon in a mount namespace where data/ is a disk of 400 kB
on_small_disk()
{
	cat >small <<-END
	#!/bin/sh
	mount -t tmpfs -o size=400k,mode=755 none "$work/data" || exit 1
	mkdir -m 0700 "$work/data/cache" && chown nobody "$work/data/cache"
	${1:+mount -o remount,$1 "$work/data"}
	exec "\$@"
	END
	chmod +x small
	gatehouse_wrapper="unshare -m $work/small"
	gatehouse_start
}

there() # COMMAND...: in that namespace
{
	nsenter -t "$(pid_of gatehouse)" -m "$@"
}

known_there() # ADDRESS
{
	there "$build/gatehousectl" -c "$work/conf" cache get "$1" >/dev/null 2>&1
}

is_metric() # NAME VALUE
{
	ctl metrics | grep -qx "$1 $2"
}

system_case full_disk
full_disk_body()
{
	setup
	gatehouse_config </dev/null
	on_small_disk
	visit 127.1.7.1
	wait_for 5 known_there 127.1.7.1 || atf_fail "no memory to begin with"
	there sh -c "head -c 500k /dev/zero >'$work/data/filler'" 2>/dev/null
	awk 'BEGIN { for (i = 0; i < 6000; i++) printf "10.1.%d.%d\t5;5;5;5;5\n", i / 256, i % 256 }' >many
	atf_check -s exit:1 -o ignore -e match:"No space left" nsenter -t "$(pid_of gatehouse)" -m "$build/gatehousectl" -c "$work/conf" cache import "$work/many"
	wait_line "$log" 'warning: cache lmdb:.*: cannot write: No space left on device -- screening goes on'
	is_metric gatehouse_store_works 0 || atf_fail "the metrics say that it works"
	visit 127.1.7.1
	wait_line "$log" 'PASS OLD \[127\.1\.7\.1\]'
	visit 127.1.7.2
	wait_line "$log" 'PASS NEW \[127\.1\.7\.2\]'
	there rm "$work/data/filler"
	wait_line "$log" 'cache lmdb:.*: works again' 10
	wait_for 3 is_metric gatehouse_store_works 1 || atf_fail "the metrics do not say that it works again"
	wait_for 5 known_there 127.1.7.2 || atf_fail "what was learned on a full disk is lost"
	unharmed
}

# The daemon and its master are those that were started.
unharmed()
{
	! grep -qE 'worker .*was killed|AddressSanitizer|runtime error' "$log" || atf_fail "a process broke"
	gatehouse_stop
}

system_case read_only_disk
read_only_disk_body()
{
	setup
	gatehouse_config </dev/null
	on_small_disk ro
	wait_line "$log" 'warning: cache lmdb:.*: cannot open: Read-only file system'
	visit 127.1.7.3
	wait_line "$log" 'PASS NEW \[127\.1\.7\.3\]'
	there mount -o remount,rw "$work/data"
	wait_line "$log" 'works again' 10
	remembered() { visit 127.1.7.4; grep -q 'PASS OLD \[127\.1\.7\.4\]' "$log"; }
	wait_for 8 remembered || atf_fail "no memory after the repair"
	unharmed
}

system_case foreign_file
foreign_file_body()
{
	setup
	gatehouse_config </dev/null
	mkdir -m 0700 data/cache
	seq 10000 >data/cache/data.mdb
	chown -R nobody data/cache
	gatehouse_start
	wait_line "$log" 'was damaged: set aside as data.mdb.damaged, a new one is begun'
	atf_check -o match:'^10000$' tail -n 1 data/cache/data.mdb.damaged
	visit 127.1.7.5
	wait_for 5 known 127.1.7.5 || atf_fail "no memory"
	# What is no folder is not ours to move.
	gatehouse_stop
	rm -rf data/cache
	echo precious >data/cache
	gatehouse_start
	wait_line "$log" 'cannot open: is not a directory'
	visit 127.1.7.6
	atf_check -o inline:'precious\n' cat data/cache
	rm data/cache
	wait_line "$log" 'works again' 10
	remembered() { visit 127.1.7.7; grep -q 'PASS OLD \[127\.1\.7\.7\]' "$log"; }
	wait_for 8 remembered || atf_fail "no memory after the repair"
	unharmed
}

# damaged_running COMMAND...: a store of a few thousand records in use, and something happens to its file
damaged_running()
{
	local master i
	setup
	gatehouse_config </dev/null
	# Who falls over the file falls by the signal, as it does without sanitizers, and not with their report.
	asan_options=$asan_options:handle_segv=0:handle_sigbus=0
	gatehouse_start
	awk 'BEGIN { for (i = 0; i < 6000; i++) printf "10.1.%d.%d\t5;5;5;5;5\n", i / 256, i % 256
	    printf "127.1.7.8\t4000000000;4000000000;1;1;1\n" }' >many
	atf_check -o ignore "$build/gatehousectl" -c "$work/conf" cache import "$work/many"
	visit 127.1.7.8
	wait_line "$log" 'PASS OLD \[127\.1\.7\.8\]'
	master=$(pid_of gatehouse)
	"$@"
	# Nobody notices: who is there stays, and who comes is served. Only the keeper may fall over it.
	for i in 10 11 12 13; do visit "127.1.7.$i"; done
	wait_line "$log" 'was damaged: set aside as data.mdb.damaged, a new one is begun' 15
	remembered() { visit 127.1.7.9; grep -q 'PASS OLD \[127\.1\.7\.9\]' "$log"; }
	wait_for 15 remembered || atf_fail "no memory after the repair"
	! grep -E 'worker .*(was killed|ended)' "$log" || atf_fail "a worker fell over it"
	stopped "$master" && atf_fail "the master fell"
	wait_for 5 known 127.1.7.9 || atf_fail "the new store is not written"
	gatehouse_stop
}

system_case truncated 90
truncated_body()
{
	damaged_running truncate -s 8192 data/cache/data.mdb
}

system_case overwritten 90
overwritten_body()
{
	damaged_running overwrite
}

overwrite()
{
	local size
	size=$(stat -c %s data/cache/data.mdb)
	# Noise that is the same each time.
	openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c $((size - 8192)) |
	    dd of=data/cache/data.mdb bs=4096 seek=2 conv=notrunc status=none
}

system_case deleted
deleted_body()
{
	setup
	gatehouse_config </dev/null
	gatehouse_start
	visit 127.1.7.40
	wait_for 5 known 127.1.7.40 || atf_fail "no memory to begin with"
	rm -rf data/cache
	wait_line "$log" 'the data file: was deleted or replaced' 15
	wait_line "$log" 'works again' 10
	remembered() { visit 127.1.7.41; grep -q 'PASS OLD \[127\.1\.7\.41\]' "$log"; }
	wait_for 8 remembered || atf_fail "no memory after the repair"
	unharmed
}

# The process that writes may die and be stopped: nobody waits for it, and what is sent to it is kept for the next.
system_case keeper_dies
keeper_dies_body()
{
	setup
	gatehouse_config </dev/null
	gatehouse_start
	old=$(keeper)
	kill -STOP "$old"
	visit 127.1.7.50
	wait_line "$log" 'PASS NEW \[127\.1\.7\.50\]'
	sleep 0.3
	kill -9 "$old"
	wait_for 5 known 127.1.7.50 || atf_fail "an update was lost with the writer that had not read it"
	[ "$(keeper)" != "$old" ] || atf_fail "it is the same"
	wait_line "$log" 'the keeper of the allowlist .process '"$old"'. was killed by signal 9'
	is_metric gatehouse_store_writer_deaths_total 1 || atf_fail "its death is not counted"
	# A reload brings another, which waits until the one before has written all.
	old=$(keeper)
	visit 127.1.7.51
	gatehouse_reload
	wait_for 5 known 127.1.7.51 || atf_fail "lost in the reload"
	new_keeper() { [ "$(keeper)" != "$old" ] && [ -n "$(keeper)" ]; }
	wait_for 5 new_keeper || atf_fail "the reload has changed nothing"
	unharmed
}

# Not root's, not able to start anything.
system_case keeper_is_jailed
keeper_is_jailed_body()
{
	setup
	gatehouse_config </dev/null
	gatehouse_start
	status=/proc/$(keeper)/status
	atf_check -o match:"^Uid:	$(id -u nobody)	$(id -u nobody)" -o match:'^NoNewPrivs:	1' -o match:'^CapEff:	0*$' cat "$status"
	! grep -q '^#define HAVE_SECCOMP' "$build/config.h" || atf_check -o match:'^Seccomp:	2' cat "$status"
	gatehouse_stop
}

atf_init_test_cases()
{
	for name in wrong_owner full_disk read_only_disk foreign_file truncated overwritten deleted keeper_dies keeper_is_jailed; do
		atf_add_test_case $name
	done
}
