# The house rules that a machine can check. Each case prints FILE:LINE: TEXT of every breach.

top=@abs_top_srcdir@
rooms="base rules policy dnsbl tlsproxy screen"

# breaches CASE-OUTPUT: fails if anything was found
verdict()
{
	if [ -s breaches ]; then
		cat breaches
		atf_fail "$1: $(grep -c . breaches) breaches"
	fi
}

sources() # every C file and table of the rooms, as ROOM/FILE
{
	cd "$top" && find $rooms -name '*.[ch]' -o -name '*.tbl' && cd - >/dev/null
}

# What a room may see besides itself.
below()
{
	case $1 in
	base) echo ;;
	rules) echo base ;;
	policy | dnsbl | tlsproxy) echo base rules ;;
	screen) echo base rules policy dnsbl tlsproxy ;;
	esac
}

includes() # ROOM/FILE:LINE:INCLUDED for every quoted include in the rooms
{
	(cd "$top" && find $rooms \( -name '*.[ch]' -o -name '*.tbl' \) -print0 |
	    xargs -0 grep -Hn '^[[:space:]]*#[[:space:]]*include[[:space:]]*"') |
	    sed 's/#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/; s/:[[:space:]]*\([^:]*\)$/:\1/'
}

atf_test_case layering
layering_head()
{
	atf_set descr "arrows point down: no room includes a room above or beside it"
}
layering_body()
{
	includes | while IFS=: read -r file line included; do
		room=${file%%/*} other=${included%%/*}
		[ "$included" != config.h ] && [ "$other" != "$room" ] || continue
		case " $(below "$room") " in
		*" $other "*) ;;
		*) echo "$file:$line: $room may not include \"$included\"" ;;
		esac
	done >breaches
	verdict layering
}

atf_test_case front_doors
front_doors_head()
{
	atf_set descr "a room is entered by room/room.h only (base is all doors, the tuner has its own); no relative includes"
}
front_doors_body()
{
	includes | while IFS=: read -r file line included; do
		room=${file%%/*} other=${included%%/*}
		case $included in
		config.h | "$room"/* | base/*.h | "$other/$other.h" | policy/tune/tune.h) ;;
		*) echo "$file:$line: \"$included\" is not a front door" ;;
		esac
		case $included in
		*../* | screen/screen.h) echo "$file:$line: \"$included\" is not to be included" ;;
		esac
	done >breaches
	verdict "front doors"
}

atf_test_case each_room_has_its_door
each_room_has_its_door_body()
{
	for room in rules policy dnsbl tlsproxy; do
		atf_check -o match:"^/\*" sed 1q "$top/$room/$room.h"
	done
}

atf_test_case forbidden_calls
forbidden_calls_head()
{
	atf_set descr "no call that overflows, guesses or keeps hidden state"
}
forbidden_calls_body()
{
	words='strtok|strtok_r|sscanf|atoi|atol|atoll|atof|strcpy|stpcpy|strcat|strncat|sprintf|vsprintf'
	words="$words|gets|alloca|rand|random|srand|gethostbyname|inet_addr|inet_aton|inet_ntoa|localtime|gmtime"
	words="$words|ctime|asctime|system|popen|mktemp|tmpnam"
	(cd "$top" && sources | xargs grep -HnE "(^|[^A-Za-z0-9_.>])($words)[[:space:]]*\(" |
	    grep -vE ':[[:space:]]*(\*|/\*|//)') >breaches
	verdict "forbidden calls"
}

atf_test_case time_is_an_argument
time_is_an_argument_head()
{
	atf_set descr "policy and rules do not read the clock (the store's writer and the tuner stand beside)"
}
time_is_an_argument_body()
{
	(cd "$top" && grep -HnE '(^|[^A-Za-z0-9_])(time|gettimeofday|clock_gettime)[[:space:]]*\(' \
	    rules/*.[ch] policy/*.[ch] | grep -vE ':[[:space:]]*(\*|/\*)') >breaches
	verdict "clock reads"
}

atf_test_case function_length
function_length_head()
{
	atf_set descr "no function is longer than 70 lines"
}
function_length_body()
{
	(cd "$top" && find $rooms tests/helpers tests/bench -name '*.c' -print0 | xargs -0 awk '
	    FNR == 1 { start = 0 }
	    /^{$/ { start = FNR }
	    /^}/ && start {
		if (FNR - start - 1 > 70)
			printf "%s:%d: %d lines: %s\n", FILENAME, start, FNR - start - 1, last
		start = 0
	    }
	    !start && /^[a-z_]/ { last = $0 }') >breaches
	verdict "long functions"
}

atf_test_case line_length
line_length_head()
{
	atf_set descr "no line of code is longer than 120 columns"
}
line_length_body()
{
	(cd "$top" && sources | grep '\.c$' | while read -r file; do
		expand "$file" | awk -v f="$file" 'length($0) > 120 { print f ":" NR ": " length($0) " columns" }'
	done) >breaches
	verdict "long lines"
}

atf_test_case nothing_unfinished
nothing_unfinished_head()
{
	atf_set descr "no notes to self are left in the tree"
}
nothing_unfinished_body()
{
	(cd "$top" && { sources; find tests -name '*.[ch]' -o -name '*.sh'; } | grep -v house_test |
	    xargs grep -HnE 'TODO|FIXME|[^X]XXX[^X]|HACK:|<<<<<<<|>>>>>>>') >breaches
	verdict "unfinished"
}

# Everything that goes into a release; the build trees and git's own folder do not.
tree()
{
	(cd "$top" && find . \( -name .git -o -name 'build*' -o -name _build -o -name _inst -o -name autom4te.cache \) -prune -o \
	    -type f ! -name house_test.sh ! -name Makefile.in ! -name configure ! -name "*.m4" -print)
}

atf_test_case stands_alone
stands_alone_head()
{
	atf_set descr "the tree names no place of its makers' machine and no package registry"
}
stands_alone_body()
{
	# Spelt so that these lines do not find themselves.
	(cd "$top" && tree | xargs grep -HnIE '[.][.]/(shar[e]d|referenc[e])/|shar[e]d/(desig[n]|referenc[e]|instrument[s])|[Rr]eferenc[e] §|interface[s][.]md' ; \
	cd "$top" && tree | xargs grep -HnIiE 'https?:/[/](deb|security|ftp|registry|files|index|static|proxy|pypi|npm)[.]') \
	    >breaches
	verdict "foreign places"
}

atf_test_case tests_are_run
tests_are_run_head()
{
	atf_set descr "every test file in the tree is part of the build"
}
tests_are_run_body()
{
	for file in $(cd "$top/tests" && ls unit/*_test.c system/*_test.sh house/*_test.sh fuzz/*_test.sh 2>/dev/null); do
		name=${file##*/}
		grep -q "\"${name%.*}\"" "@abs_top_builddir@/tests/${file%/*}/Kyuafile" ||
		    echo "tests/$file is not in the Kyuafile"
	done >breaches
	topics=" @FUZZ_TOPICS@ "
	for file in $(cd "$top/tests/fuzz" && ls fuzz_*.c 2>/dev/null); do
		topic=${file#fuzz_} topic=${topic%.c}
		case $topics in *" $topic "*) ;; *) echo "tests/fuzz/$file is not in FUZZERS" ;; esac
	done >>breaches
	verdict "tests not run"
}

# rows TABLE MACRO: the arguments of every row, one row a line, comments and line breaks removed
rows()
{
	{ tr '\n' ' ' <"$top/$1"; echo; } | sed 's,/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/, ,g' |
	    sed "s/$2(/\n&/g" | sed -n "s/^$2(\(.*\)/\1/p"
}

atf_test_case checks_documented
checks_documented_head()
{
	atf_set descr "each check has its parameters, and a word the manual explains"
}
checks_documented_body()
{
	rows policy/checks.tbl CHECK | tr -d ' ")' | while IFS=, read -r id word rest; do
		ttl=${rest%,*} ttl=${ttl##*,} action=${rest##*,}
		grep -q "PARAM($ttl," "$top/rules/params.tbl" || echo "$id: no parameter $ttl"
		grep -q "PARAM($action," "$top/rules/params.tbl" || echo "$id: no parameter $action"
		grep -q "$word" @abs_top_builddir@/doc/gatehouse.8 || echo "$id: gatehouse(8) does not mention $word"
	done >breaches
	verdict checks
}

atf_test_case parameters_documented
parameters_documented_head()
{
	atf_set descr "each parameter has prose and is in the manual; none is defined twice"
}
parameters_documented_body()
{
	manual=@abs_top_builddir@/doc/gatehouse.conf.5
	rows rules/params.tbl PARAM >rows
	[ -s rows ] || atf_fail "no rows found in rules/params.tbl"
	sed 's/,.*//' rows | sort | uniq -d | sed 's/$/ is defined twice/' >breaches
	grep -E ',[[:space:]]*""[[:space:]]*\)[[:space:]]*$' rows | sed 's/,.*/: no prose/' >>breaches
	if [ -f "$manual" ]; then
		grep -v PF_OLD rows | sed 's/,.*//' | while read -r name; do
			grep -q "$name" "$manual" || echo "$name is not in gatehouse.conf(5)"
		done >>breaches
	fi
	verdict parameters
}

atf_test_case corpora
corpora_head()
{
	atf_set descr "seeds are small, and each belongs to a fuzz target"
}
corpora_body()
{
	for dir in "$top"/tests/fuzz/corpus/*/; do
		[ -d "$dir" ] || continue
		topic=$(basename "$dir")
		[ -f "$top/tests/fuzz/fuzz_$topic.c" ] || echo "corpus/$topic has no fuzz target"
		find "$dir" -type f -size +64k
	done >breaches
	verdict corpora
}

atf_init_test_cases()
{
	atf_add_test_case layering
	atf_add_test_case front_doors
	atf_add_test_case each_room_has_its_door
	atf_add_test_case forbidden_calls
	atf_add_test_case time_is_an_argument
	atf_add_test_case function_length
	atf_add_test_case line_length
	atf_add_test_case nothing_unfinished
	atf_add_test_case stands_alone
	atf_add_test_case tests_are_run
	atf_add_test_case checks_documented
	atf_add_test_case parameters_documented
	atf_add_test_case corpora
}
