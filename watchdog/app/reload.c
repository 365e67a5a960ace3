/*
 * reload.c
 *	  Nodes that come and go with the configuration.
 *
 * A node is known by its name; its number in configuration, view and memory changes
 * when others come or go.  So everything that is kept by number is moved here, in one
 * go between two rounds: the nodes with their sessions, the view, and in the view the
 * sets of standbys, whose bits are numbers.
 *
 * Whoever votes stays: its name in the rule decides over commits and promotions, and
 * a watchdog that does not look at a voter any more would be blind on that side.
 */
#include "reload.h"

#include <stdlib.h>
#include <string.h>

#include "node.h"
#include "watchdog/core/decide.h"
#include "watchdog/core/phase.h"

/* Where the nodes were before; -1: it is new. */
typedef struct Move
{
	int			from[RG_NODES_MAX];
	int			old_nnodes;
	RgNode	   *old_nodes[RG_NODES_MAX];
	RgView		old_view;
	RgConfig	old_config;
} Move;

int
rg_reload_check_nodes(const RgCluster *c, const RgConfig *config, RgError *err)
{
	bool		is_same = c->config.nnodes == config->nnodes;

	for (int i = 0; i < c->config.nnodes; i++)
	{
		const char *name = c->config.nodes[i].name;

		if (rg_config_node(config, name) >= 0)
			continue;
		is_same = false;
		if (rg_rule_has_voter(&c->memory.rule, name))
		{
			(void) rg_error_set(err, RGE_STATE, "node %s votes in the rule in force, and has no section any more", name);
			rg_error_hint(err, "Put its section back; regent node remove %s takes it out of the cluster.", name);
			return RGE_STATE;
		}
	}
	for (int i = 0; i < config->nnodes; i++)
	{
		const char *name = config->nodes[i].name;

		is_same = is_same && rg_config_node(&c->config, name) >= 0;
		if (rg_config_cascades(config, i) && rg_rule_has_voter(&c->memory.rule, name))
		{
			(void) rg_error_set(err, RGE_STATE, "node %s votes in the rule in force, so it can't have an upstream", name);
			rg_error_hint(err, "Take it out of the cluster first: regent node remove %s; then add it with its upstream.", name);
			return RGE_STATE;
		}
	}
	if (!is_same && rg_phase_is_failover(c->memory.phase))
		return rg_error_set(err, RGE_STATE, "the leader is being replaced: nodes come and go when that is over");
	return 0;
}

/* The same set of nodes with their new numbers. */
static uint32_t
move_set(const Move *move, int nnodes, uint32_t set)
{
	uint32_t	moved = 0;

	for (int i = 0; i < nnodes; i++)
		if (move->from[i] >= 0 && (set >> move->from[i] & 1) != 0)
			moved |= (uint32_t) 1 << i;
	return moved;
}

/* What each of its standbys has flushed stands by number, too. */
static void
move_flushed(const Move *move, int nnodes, uint64_t *flushed)
{
	uint64_t	old[RG_CORE_NODES_MAX];

	memcpy(old, flushed, sizeof(old));
	for (int i = 0; i < RG_CORE_NODES_MAX; i++)
		flushed[i] = i < nnodes && move->from[i] >= 0 ? old[move->from[i]] : 0;
}

static void
move_nodes(RgCluster *c, const RgConfig *config, Move *move)
{
	memset(c->nodes, 0, sizeof(c->nodes));
	memset(c->view.nodes, 0, sizeof(c->view.nodes));
	c->config = *config;
	c->nnodes = c->view.nnodes = config->nnodes;
	for (int i = 0; i < config->nnodes; i++)
	{
		move->from[i] = rg_config_node(&move->old_config, config->nodes[i].name);
		if (move->from[i] < 0)
			continue;
		c->nodes[i] = move->old_nodes[move->from[i]];
		c->nodes[i]->index = i;
		c->view.nodes[i] = move->old_view.nodes[move->from[i]];
	}
	for (int i = 0; i < config->nnodes; i++)
	{
		RgFacts    *f = &c->view.nodes[i].facts;

		f->streaming_from_us = move_set(move, config->nnodes, f->streaming_from_us);
		f->sync_with_us = move_set(move, config->nnodes, f->sync_with_us);
		f->released = move_set(move, config->nnodes, f->released);
		move_flushed(move, config->nnodes, f->flushed_from_us);
	}
}

/* Takes everything back; nodes that were opened meanwhile are closed. */
static void
move_back(RgCluster *c, const Move *move)
{
	for (int i = 0; i < c->nnodes; i++)
		if (move->from[i] < 0)
			rg_node_close(c->nodes[i]);
	memcpy(c->nodes, move->old_nodes, sizeof(c->nodes));
	c->nnodes = move->old_nnodes;
	c->view = move->old_view;
	c->config = move->old_config;
	for (int i = 0; i < c->nnodes; i++)
		c->nodes[i]->index = i;
}

static void
close_old(const RgCluster *c, const Move *move)
{
	for (int k = 0; k < move->old_nnodes; k++)
		if (rg_config_node(&c->config, move->old_config.nodes[k].name) < 0)
			rg_node_close(move->old_nodes[k]);
}

int
rg_reload_take(RgCluster *c, const RgConfig *config, RgError *err)
{
	Move	   *move = malloc(sizeof(*move));
	int			ret = 0;

	if (move == NULL)
		return rg_error_set(err, RGE_NOMEM, "out of memory");
	move->old_nnodes = c->nnodes;
	memcpy(move->old_nodes, c->nodes, sizeof(move->old_nodes));
	move->old_view = c->view;
	move->old_config = c->config;
	move_nodes(c, config, move);
	for (int i = 0; ret == 0 && i < c->nnodes; i++)
		if (move->from[i] < 0)
			ret = rg_node_open(c, i, err);
	if (ret < 0)
		move_back(c, move);
	else
	{
		close_old(c, move);
		/* what is remembered has the order of the view, also where the next round can't be journalled */
		rg_decide_align(&c->view, &c->memory);
	}
	free(move);
	return ret;
}
