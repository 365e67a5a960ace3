/*
 * value.c
 *	  Values of a case file that are more than a number: words, LSNs, terms,
 *	  rules, server starts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scene.h"

int
parse_word(const Line *line, const Word *words, const char *text)
{
	for (int i = 0; words[i].name != NULL; i++)
		if (strcmp(words[i].name, text) == 0)
			return words[i].value;
	line_error(line, "unknown word \"%s\"", text);
}

uint64_t
parse_lsn(const Line *line, const char *text)
{
	unsigned	hi;
	unsigned	lo;

	if (sscanf(text, "%X/%X", &hi, &lo) != 2)
		line_error(line, "\"%s\" is not an LSN", text);
	return (uint64_t) hi << 32 | lo;
}

int
parse_terms(const Line *line, const char *text, RgTermEnd *terms)
{
	int			n = 0;

	memset(terms, 0, sizeof(*terms) * RG_TERMS_MAX);
	if (strcmp(text, "-") == 0)
		return 0;
	for (const char *at = text; at != NULL; at = strchr(at, ','), at = at ? at + 1 : NULL)
	{
		long long	term;
		unsigned	timeline;
		unsigned	hi = 0;
		unsigned	lo = 0;

		if (sscanf(at, "%lld:%u:%X/%X", &term, &timeline, &hi, &lo) < 2 || n >= RG_TERMS_MAX)
			line_error(line, "\"%s\" is not TERM:TIMELINE[:LSN],…", text);
		terms[n].term = term;
		terms[n].timeline = timeline;
		terms[n++].end_lsn = (uint64_t) hi << 32 | lo;
	}
	return n;
}

void
parse_rule(const Line *line, const Scene *s, const char *text, RgRule *rule)
{
	long long	term;
	int			seq;
	char		leader[RG_CORE_NAME_MAX];

	memset(rule, 0, sizeof(*rule));
	if (strcmp(text, "-") == 0)
		return;
	if (sscanf(text, "%lld.%d:%60s", &term, &seq, leader) != 3)
		line_error(line, "\"%s\" is not TERM.SEQ:LEADER", text);
	rule->term = term;
	rule->seq = seq;
	RG_COPY(rule->leader, leader);
	RG_COPY(rule->durability, s->durability);
	rule->quorum = s->quorum;
	rule->lease_ms = s->view.settings.lease_ms;
	RG_COPY(rule->watchdog, s->view.watchdog);
	for (int i = 0; i < s->view.nnodes; i++)
		if (s->view.nodes[i].upstream[0] == '\0' && !s->nodes[i].guest)
			RG_COPY(rule->voters[rule->nvoters++], s->view.nodes[i].name);
}

uint32_t
parse_voters(const Line *line, const RgRule *rule, const char *text)
{
	uint32_t	set = 0;
	char		buf[200];

	RG_COPY(buf, strcmp(text, "-") == 0 ? "" : text);
	for (char *name = strtok(buf, ","); name != NULL; name = strtok(NULL, ","))
	{
		int			voter = rg_rule_voter(rule, name);

		if (voter < 0)
			line_error(line, "%s is no voter", name);
		set |= 1u << voter;
	}
	return set;
}

void
parse_voter_list(const Line *line, const char *text, RgRule *rule)
{
	char		buf[200];

	RG_COPY(buf, text);
	rule->nvoters = 0;
	rule->left_out = 0;
	for (char *name = strtok(buf, ","); name != NULL; name = strtok(NULL, ","))
	{
		if (rule->nvoters == RG_CORE_NODES_MAX)
			line_error(line, "too many voters");
		RG_COPY(rule->voters[rule->nvoters], name);
		rule->nvoters++;
	}
}

void
set_start(const char *node, int64_t pid, RgServerStart *start)
{
	memset(start, 0, sizeof(*start));
	(void) snprintf(start->boot_id, sizeof(start->boot_id), "boot-%.20s", node);
	start->pid = (int) pid;
	start->started_s = 1000 + 10 * pid;
}
