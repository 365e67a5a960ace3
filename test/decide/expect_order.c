/*
 * expect_order.c
 *	  What a case asks of leases and of people's orders: they are questions to the
 *	  core beside the decision, with the memory that the decision left.
 */
#include <string.h>

#include "scene.h"
#include "watchdog/core/enlist.h"
#include "watchdog/core/lease.h"
#include "watchdog/core/order.h"
#include "watchdog/core/order_rule.h"

/* expect grant NODE yes|no */
static void
expect_grant(Scene *s, const Line *line)
{
	int64_t		term;
	int64_t		until_ms;
	int			node;
	bool		granted;

	if (line->nwords != 4)
		line_error(line, "expect grant NODE yes|no");
	node = parse_node(line, s, line->words[2]);
	granted = rg_lease_grant(&s->view, &s->decision.memory, node, &term, &until_ms);
	if (granted != parse_bool(line, line->words[3]))
		mismatch(s, line, "expected %s, found %s", line->text, granted ? "a grant" : "none");
	else if (granted && until_ms != s->view.nodes[node].facts.boottime_ms + s->decision.memory.rule.lease_ms)
		mismatch(s, line, "the grant does not end a lease after the node's own clock");
}

/* expect bound NODE TIME|never */
static void
expect_bound(Scene *s, const Line *line)
{
	int64_t		found;
	int64_t		wanted;

	if (line->nwords != 4)
		line_error(line, "expect bound NODE TIME|never");
	found = rg_lease_bound_ms(&s->view, &s->decision.memory, parse_node(line, s, line->words[2]));
	wanted = strcmp(line->words[3], "never") == 0 ? INT64_MAX : parse_ms(line, line->words[3]);
	if (found != wanted)
		mismatch(s, line, "bound: expected %lld, found %lld", (long long) wanted, (long long) found);
}

/* expect ORDER [NODE] allowed|refused ["text"] */
static void
expect_order(Scene *s, const Line *line)
{
	const char *verb = line->words[1];
	int			at = strcmp(verb, "takeover") == 0 ? 2 : 3;
	const char *node = line->nwords > 2 ? line->words[2] : "";
	char		target[RG_CORE_NAME_MAX];
	char		why[RG_TEXT_MAX];
	bool		refused;

	if (line->nwords <= at || (strcmp(line->words[at], "allowed") != 0 && strcmp(line->words[at], "refused") != 0))
		line_error(line, "expect %s NODE allowed|refused [text]", verb);
	if (strcmp(verb, "switchover") == 0)
		refused = rg_order_switchover_refusal(&s->view, &s->decision.memory, strcmp(node, "-") == 0 ? "" : node,
											  target, why) != NULL;
	else if (strcmp(verb, "takeover") == 0)
		refused = rg_order_takeover_refusal(&s->view, &s->decision.memory, why) != NULL;
	else
		refused = rg_order_accept_loss_refusal(&s->view, &s->decision.memory, node, why) != NULL;
	if (refused != (strcmp(line->words[at], "refused") == 0))
		mismatch(s, line, "expected that it is %s, found: %s", line->words[at], why);
	else if (line->nwords > at + 1 && strstr(why, line->words[at + 1]) == NULL)
		mismatch(s, line, "expected \"…%s…\", found \"%s\"", line->words[at + 1], why);
}

/* expect node-add NODE …; expect node-remove NODE [lost=yes] allowed|refused ["text"] */
static void
expect_nodes(Scene *s, const Line *line)
{
	const char *lost = line_get(line, "lost");
	int			at = lost != NULL ? 4 : 3;
	char		why[RG_TEXT_MAX] = "";
	bool		refused;

	if (line->nwords <= at || (strcmp(line->words[at], "allowed") != 0 && strcmp(line->words[at], "refused") != 0))
		line_error(line, "expect %s NODE [lost=yes] allowed|refused [text]", line->words[1]);
	if (strcmp(line->words[1], "node-add") == 0)
		refused = rg_enlist_add_refusal(&s->view, &s->decision.memory, line->words[2], why) != NULL;
	else
		refused = rg_enlist_remove_refusal(&s->view, &s->decision.memory, line->words[2],
										   lost != NULL && parse_bool(line, lost), why) != NULL;
	if (refused != (strcmp(line->words[at], "refused") == 0))
		mismatch(s, line, "expected that it is %s, found: %s", line->words[at], why);
	else if (line->nwords > at + 1 && strstr(why, line->words[at + 1]) == NULL)
		mismatch(s, line, "expected \"…%s…\", found \"%s\"", line->words[at + 1], why);
}

/* expect set durability|quorum VALUE allowed|refused ["text"]; expect voters n1,n2 [lost=n3] allowed|refused ["text"] */
static void
expect_wish(Scene *s, const Line *line)
{
	const char *verb = line->words[1];
	int			at = strcmp(verb, "set") == 0 ? 4 : line_get(line, "lost") != NULL ? 4 : 3;
	const char *lost = line_get(line, "lost");
	RgRule		rule = {0};
	char		why[RG_TEXT_MAX];
	bool		refused;

	if (line->nwords <= at || (strcmp(line->words[at], "allowed") != 0 && strcmp(line->words[at], "refused") != 0))
		line_error(line, "expect %s … allowed|refused [text]", verb);
	if (strcmp(verb, "set") == 0)
	{
		bool		is_quorum = strcmp(line->words[2], "quorum") == 0;

		refused = rg_order_set_refusal(&s->view, &s->decision.memory, is_quorum ? NULL : line->words[3],
									   is_quorum ? (int) parse_int(line, line->words[3]) : 0, why) != NULL;
	}
	else
	{
		parse_voter_list(line, line->words[2], &rule);
		refused = rg_order_voters_refusal(&s->view, &s->decision.memory, rule.voters, rule.nvoters,
										  lost != NULL ? 1u << parse_node(line, s, lost) : 0, why) != NULL;
	}
	if (refused != (strcmp(line->words[at], "refused") == 0))
		mismatch(s, line, "expected that it is %s, found: %s", line->words[at], why);
	else if (line->nwords > at + 1 && strstr(why, line->words[at + 1]) == NULL)
		mismatch(s, line, "expected \"…%s…\", found \"%s\"", line->words[at + 1], why);
}

static void
expect_word(Scene *s, const Line *line, const char *found)
{
	if (line->nwords != 3)
		line_error(line, "expect %s WORD", line->words[1]);
	if (strcmp(line->words[2], found[0] ? found : "-") != 0)
		mismatch(s, line, "%s: expected \"%s\", found \"%s\"", line->words[1], line->words[2], found);
}

bool
scene_expect_order(Scene *s, const Line *line)
{
	const RgMemory *m = &s->decision.memory;
	const char *what = line->words[1];

	if (strcmp(what, "grant") == 0)
		expect_grant(s, line);
	else if (strcmp(what, "bound") == 0)
		expect_bound(s, line);
	else if (strcmp(what, "switchover") == 0 || strcmp(what, "accept-loss") == 0 || strcmp(what, "takeover") == 0)
		expect_order(s, line);
	else if (strcmp(what, "set") == 0 || strcmp(what, "voters") == 0)
		expect_wish(s, line);
	else if (strcmp(what, "node-add") == 0 || strcmp(what, "node-remove") == 0)
		expect_nodes(s, line);
	else if (strcmp(what, "target") == 0)
		expect_word(s, line, m->target);
	else if (strcmp(what, "order") == 0)
		expect_word(s, line, m->accept_loss);
	else if (strcmp(what, "confirmed") == 0)
		expect_word(s, line, m->confirmed ? "yes" : "no");
	else if (strcmp(what, "planned") == 0)
		expect_word(s, line, m->failover.planned ? "yes" : "no");
	else if (strcmp(what, "given-up") == 0)
	{
		if (line->nwords != 3)
			line_error(line, "expect given-up TEXT");
		if (strstr(m->failover.given_up, line->words[2]) == NULL)
			mismatch(s, line, "given up: expected \"…%s…\", found \"%s\"", line->words[2], m->failover.given_up);
	}
	else
		return false;
	return true;
}
