/* gatehousectl pools: what the daemon knows of pools of senders, or what a walk of our own finds now. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop.h"
#include "base/mem.h"
#include "screen/ctl.h"
#include "screen/ctl_live.h"
#include "screen/poolshow.h"

#define PATIENCE_US 30000000

/* True if none went wrong. */
static bool
all_good(const struct pools_board *board)
{
	bool good = true;

	for (size_t i = 0; i < pools_count(board); i++) {
		struct pool_info *info = pools_look(board, i, clock_now_us());
		good = good && info->error[0] == '\0' && (!info->is_domain || info->age_s >= 0);
		free(info);
	}
	return good;
}

/* Every domain was walked, well or badly. */
static bool
all_walked(const struct pools_board *board)
{
	bool walked = true;

	for (size_t i = 0; i < pools_count(board); i++) {
		struct pool_info *info = pools_look(board, i, clock_now_us());
		walked = walked && (!info->is_domain || info->next_s >= 0);
		free(info);
	}
	return walked;
}

static enum ctl_exit
walk_and_show(const struct ctl *ctl, const struct pools_rules *rules)
{
	struct buf out = buf_over(mem_alloc(POOLSHOW_SIZE), POOLSHOW_SIZE);
	int64_t until_us = clock_now_us() + PATIENCE_US;
	struct loop *loop = loop_new();
	struct pools_board *board = pools_board_new(rules);

	if (board == NULL) {
		fprintf(stderr, "gatehousectl: %s\n", strerror(errno));
		loop_free(&loop);
		free(out.p);
		return CTL_NO;
	}
	struct pools *pools = pools_walk(loop, board);
	while (!all_walked(board) && clock_now_us() < until_us)
		loop_turn(loop, true);
	(ctl->json ? pools_json : pools_text)(board, clock_now_us(), &out);
	fwrite(out.p, 1, out.len, stdout);
	enum ctl_exit status = all_good(board) ? CTL_OK : CTL_NO;
	pools_free(&pools);
	pools_board_free(&board);
	loop_free(&loop);
	free(out.p);
	return status;
}

static enum ctl_exit
walk_now(struct ctl *ctl)
{
	const struct rules *rules = ctl_rules(ctl);
	enum ctl_exit status = CTL_CONFIG;

	if (rules == NULL)
		return status;
	struct diag *diag = diag_new();
	struct pools_rules *pools = pools_rules_load(rules, diag);
	if (ctl_report(diag, DIAG_ERROR)) {
		status = CTL_CONFIG;
	} else if (pools == NULL) {
		fputs(
		    "gatehousectl: gatehouse_pool_prefixes and gatehouse_pool_domains are empty\n",
		    stderr);
		status = CTL_NO;
	} else {
		status = walk_and_show(ctl, pools);
	}
	pools_rules_free(&pools);
	diag_free(&diag);
	return status;
}

enum ctl_exit
ctl_pools(struct ctl *ctl, int argc, char **argv)
{
	enum ctl_exit status;
	char *text;

	if (argc == 2 && strcmp(argv[1], "--walk") == 0)
		return walk_now(ctl);
	if (argc != 1)
		return ctl_usage(ctl, "pools takes nothing but --walk");
	text = ctl_ask(ctl, "pools", &status);
	if (text != NULL)
		fputs(text, stdout);
	else if (status == CTL_UNREACHABLE)
		fputs("gatehousectl: pools --walk asks DNS now, without the daemon\n", stderr);
	free(text);
	return status;
}
