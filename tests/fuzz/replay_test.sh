# One case a fuzz target: every file of its corpus goes through it without a complaint.

corpus=@abs_top_srcdir@/tests/fuzz/corpus
targets=@abs_top_builddir@/tests/fuzz

replay()
{
	local topic=$1
	set -- "$corpus/$topic"/*
	[ -f "$1" ] || atf_fail "no seeds in tests/fuzz/corpus/$topic"
	atf_check -o match:"^$# inputs$" -e ignore "$targets/fuzz_$topic" "$@"
}

atf_init_test_cases()
{
	local topic
	for topic in @FUZZ_TOPICS@; do
		atf_test_case "$topic"
		eval "${topic}_body() { replay $topic; }"
		atf_add_test_case "$topic"
	done
}
