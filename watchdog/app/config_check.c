/*
 * config_check.c
 *	  Combinations of configuration values that can't work.
 *
 * Only what is wrong whatever the state of the cluster is refused here; what
 * depends on files is in config_files.c, what depends on servers is regent
 * check's.  A configuration with which failover could never happen is refused
 * rather than accepted in silence (failure mode: silent no-failover).
 */
#include "config_check.h"
#include "config_value.h"

#include <stdarg.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

static void __attribute__((format(printf, 4, 0)))
say(RgConfigSource *source, int line, const char *prefix, const char *fmt, va_list args)
{
	if (source->out == NULL)
		return;
	if (line > 0)
		fprintf(source->out, "%s:%d: %s", source->file, line, prefix);
	else
		fprintf(source->out, "%s: %s", source->file, prefix);
	vfprintf(source->out, fmt, args);
	fputc('\n', source->out);
}

void
rg_config_complain(RgConfigSource *source, int line, const char *fmt,...)
{
	va_list		args;

	source->errors++;
	if (source->errors > RG_CONFIG_COMPLAINTS_MAX)
		return;
	va_start(args, fmt);
	say(source, line, "", fmt, args);
	va_end(args);
}

void
rg_config_warn(RgConfigSource *source, int line, const char *fmt,...)
{
	va_list		args;

	source->warnings++;
	if (source->warnings > RG_CONFIG_COMPLAINTS_MAX)
		return;
	va_start(args, fmt);
	say(source, line, "warning: ", fmt, args);
	va_end(args);
}

int
rg_config_line(const RgConfigSource *source, int section, const char *key)
{
	int			i = rg_key_find(section == 0 ? "cluster" : "node", key);

	if (i >= 0 && source->key_line[section][i] != 0)
		return source->key_line[section][i];
	return source->section_line[section];
}

static void
check_times(const RgConfig *config, RgConfigSource *source)
{
	char		beat[32];
	char		value[32];
	char		least[32];

	rg_duration_format(config->heartbeat_interval_ms, beat, sizeof(beat));
	if (config->lease_ms < 4 * config->heartbeat_interval_ms)
		rg_config_complain(source, rg_config_line(source, 0, "lease"),
						   "lease = %s is too short for heartbeat_interval = %s: "
						   "at least four heartbeats, %s",
						   rg_duration_format(config->lease_ms, value, sizeof(value)), beat,
						   rg_duration_format(4 * config->heartbeat_interval_ms, least, sizeof(least)));
	if (config->hang_budget_ms < 2 * config->heartbeat_interval_ms)
		rg_config_complain(source, rg_config_line(source, 0, "hang_budget"),
						   "hang_budget = %s is too short for heartbeat_interval = %s: "
						   "at least two heartbeats, %s",
						   rg_duration_format(config->hang_budget_ms, value, sizeof(value)), beat,
						   rg_duration_format(2 * config->heartbeat_interval_ms, least, sizeof(least)));
}

static void
check_durability(const RgConfig *config, RgConfigSource *source)
{
	int			standbys = rg_config_voters(config) - 1;
	bool		is_async = strcmp(config->durability, "async") == 0;

	if (!is_async && standbys < 1)
		rg_config_complain(source, rg_config_line(source, 0, "durability"),
						   "durability = %s needs a standby: add a section [node NAME], or set durability = async",
						   config->durability);
	else if (!is_async && standbys > 0 && config->quorum == standbys)
		rg_config_warn(source, rg_config_line(source, 0, "quorum"),
					   "with durability = %s and quorum = %d, commits wait as long as any standby is away",
					   config->durability, config->quorum);
	if (is_async && config->quorum > 1)
		rg_config_warn(source, rg_config_line(source, 0, "quorum"),
					   "quorum = %d means nothing with durability = async: no commit waits for a standby", config->quorum);
	if (config->quorum > (standbys > 1 ? standbys : 1))
		rg_config_complain(source, rg_config_line(source, 0, "quorum"),
						   "quorum = %d is more than the cluster has standbys: at most %d",
						   config->quorum, standbys > 1 ? standbys : 1);
}

/* Two nodes must not be one server. */
static void
check_addresses(const RgConfig *config, RgConfigSource *source)
{
	for (int i = 0; i < config->nnodes; i++)
	{
		const RgNodeConfig *node = &config->nodes[i];

		for (int j = 0; j < i; j++)
		{
			const RgNodeConfig *other = &config->nodes[j];

			if (node->port == other->port && strcasecmp(node->host, other->host) == 0)
				rg_config_complain(source, rg_config_line(source, i + 1, "host"),
								   "nodes %s and %s have the same host and port (%s, %d): "
								   "each node is a server of its own",
								   other->name, node->name, node->host, node->port);
		}
		if (node->ssh_host[0] == '\0')
			rg_config_complain(source, rg_config_line(source, i + 1, "ssh_host"),
							   "node %s has a socket directory as host, so it needs a key \"ssh_host\"",
							   node->name);
	}
}

static void
check_priorities(const RgConfig *config, RgConfigSource *source)
{
	int			promotable = 0;

	for (int i = 0; i < config->nnodes; i++)
		promotable += config->nodes[i].priority > 0 && !rg_config_cascades(config, i);
	if (promotable == 0 && rg_config_voters(config) > 0)
		rg_config_complain(source, rg_config_line(source, 1, "priority"),
						   "priority = 0 on all nodes%s: failover could never happen; "
						   "give at least two nodes a priority above 0",
						   rg_config_voters(config) < config->nnodes ? " without an upstream" : "");
	else if (config->nnodes > 1 && promotable == 1)
		rg_config_warn(source, source->section_line[0],
					   "only one node has a priority above 0: when it fails, no other may take over");
	if (config->nnodes == 1)
		rg_config_warn(source, source->section_line[1],
					   "there is only one node: nobody can take over when it fails");
}

/* One level only: whoever feeds others is a voter, and has a place to come back to. */
static void
check_upstreams(const RgConfig *config, RgConfigSource *source)
{
	for (int i = 0; i < config->nnodes; i++)
	{
		const RgNodeConfig *node = &config->nodes[i];
		int			upstream = rg_config_node(config, node->upstream);
		int			line = rg_config_line(source, i + 1, "upstream");

		if (!rg_config_cascades(config, i))
			continue;
		if (upstream < 0)
			rg_config_complain(source, line, "upstream = %s: there is no node of this name", node->upstream);
		else if (upstream == i)
			rg_config_complain(source, line, "upstream = %s: a node can't stream from itself", node->upstream);
		else if (rg_config_cascades(config, upstream))
			rg_config_complain(source, line, "upstream = %s: that node has an upstream itself (%s); take one without",
							   node->upstream, config->nodes[upstream].upstream);
	}
}

/* A Unix socket's path must fit into sockaddr_un. */
static void
check_socket(const RgConfig *config, RgConfigSource *source)
{
	size_t		most = sizeof(((struct sockaddr_un *) 0)->sun_path) - 1;

	if (strlen(config->control_socket) > most)
		rg_config_complain(source, rg_config_line(source, 0, "control_socket"),
						   "control_socket is too long: the path of a socket has at most %zu characters",
						   most);
}

void
rg_config_check_combinations(const RgConfig *config, RgConfigSource *source)
{
	check_times(config, source);
	check_durability(config, source);
	check_addresses(config, source);
	check_upstreams(config, source);
	check_priorities(config, source);
	check_socket(config, source);
}
