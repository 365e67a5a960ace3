/*
 * config_keys.c
 *	  Every key of regent.conf, with default, limits and description.
 *
 * The macros only save typing: KEY() is a row of RgConfig, NODE_KEY() a row of
 * RgNodeConfig; both also build the row's one-line documentation from the same
 * words, so that default and documentation can't differ.  Defaults are
 * design 5.2's.
 */
#include "config_keys.h"
#include "config.h"

#include <string.h>

#define T_NAME "name"
#define T_ROLE "role name"
#define T_HOST "host"
#define T_SSHHOST "host"
#define T_LISTEN "address:port"
#define T_PATH "path"
#define T_NODEPATH "path on the nodes"
#define T_DURATION "duration"
#define T_INTEGER "integer"
#define T_SIZE "size"
#define T_BOOLEAN "boolean"
#define T_CHOICE "choice"
#define T_ENUM "choice"

#define ROW(section, str, key, member, type, req, empty, value, least, most, choices, text) \
	{ section, #key, RG_KEY_##type, req, empty, value, least, most, choices, \
	  offsetof(str, member), sizeof(((str *) 0)->member), \
	  section "." #key "|" T_##type "|" value "|" text }

#define KEY(key, member, type, value, least, most, choices, text) \
	ROW("cluster", RgConfig, key, member, type, false, false, value, least, most, choices, text)
#define KEY_OR_NONE(key, member, type, value, text) \
	ROW("cluster", RgConfig, key, member, type, false, true, value, 0, 0, NULL, text)
#define NODE_KEY(key, member, type, req, value, least, most, text) \
	ROW("node", RgNodeConfig, key, member, type, req, false, value, least, most, NULL, text)

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

#define SSLMODES "disable|allow|prefer|require|verify-ca|verify-full"

const RgKey rg_keys[] = {
	KEY(name, name, NAME, "main", 0, 0, NULL,
		"name of the cluster, in messages and file names"),
	KEY(user, user, ROLE, "regent", 0, 0, NULL,
		"role that regentd logs in as; regent init makes it"),
	KEY(database, database, ROLE, "postgres", 0, 0, NULL,
		"database that holds the extension"),
	KEY_OR_NONE(passfile, passfile, PATH, "/etc/regent/passfile",
				"regentd's password file in .pgpass format, mode 0600; empty: libpq's default"),
	KEY(sslmode, sslmode, CHOICE, "prefer", 0, 0, SSLMODES,
		"libpq's sslmode, for regentd and for replication"),
	KEY(replication_user, replication_user, ROLE, "regent_replication", 0, 0, NULL,
		"role that standbys replicate as; regent init makes it"),
	KEY_OR_NONE(replication_passfile, replication_passfile, NODEPATH, "/var/lib/postgresql/.pgpass",
				"password file of replication, a path on the nodes; empty: none"),
	KEY(heartbeat_interval, heartbeat_interval_ms, DURATION, "500ms", 50, MINUTE, NULL,
		"time between two heartbeats to a node; never more than a tenth of the lease"),
	KEY(lease, lease_ms, DURATION, "5s", 500, 10 * MINUTE, NULL,
		"for how long a leader may acknowledge writes after a heartbeat; at least four heartbeats"),
	KEY(restart_budget, restart_budget_ms, DURATION, "30s", 0, HOUR, NULL,
		"how long a planned stop or a crash recovery of the primary is waited for"),
	KEY(hang_budget, hang_budget_ms, DURATION, "3s", 200, 10 * MINUTE, NULL,
		"how long a silent server on a living host is waited for; at least two heartbeats"),
	KEY(max_lag_time, max_lag_ms, DURATION, "0s", 0, 24 * HOUR, NULL,
		"async: a standby that was further behind when the leader was last seen is not promoted; 0: one that had not streamed for a lease"),
	KEY(durability, durability, CHOICE, "async", 0, 0, "async|sync|strict",
		"what an acknowledged commit survives: async the primary's restart, sync and strict its loss; for regent init, later: regent set"),
	KEY(quorum, quorum, INTEGER, "1", 1, RG_NODES_MAX - 1, NULL,
		"how many standbys must have a commit (with durability sync or strict); for regent init, later: regent set"),
	KEY(auto_failover, auto_failover, BOOLEAN, "on", 0, 0, NULL,
		"fail over without asking"),
	KEY(auto_rejoin, auto_rejoin, BOOLEAN, "on", 0, 0, NULL,
		"bring a failed primary back as a standby without asking"),
	KEY(on_disk_full, on_disk_full, ENUM, "alarm", 0, 0, "alarm|failover",
		"what follows when a disk of the primary is full, fails or hangs: people are told, or a standby that is better off takes over"),
	KEY(crash_limit, crash_limit, INTEGER, "3", 0, 16, NULL,
		"after so many crashes within crash_window, each of which it came back from, the primary hands over; 0: never"),
	KEY(crash_window, crash_window_ms, DURATION, "10min", SECOND, 24 * HOUR, NULL,
		"for how long a crash counts"),
	KEY(rebuild_jobs, rebuild_jobs, INTEGER, "1", 1, RG_NODES_MAX, NULL,
		"how many rebuilds one source serves at a time; others wait"),
	KEY(rebuild_rate, rebuild_rate, SIZE, "0", 0, INT64_C(1) << 40, NULL,
		"bytes a second that a rebuild takes from its source at most, such as 50MB; 0: no limit"),
	KEY(promote_via, promote_via, ENUM, "both", 0, 0, "both|ssh|sql",
		"which ways a promotion takes"),
	KEY(ssh_user, ssh_user, ROLE, "postgres", 0, 0, NULL,
		"account on the nodes that regent-node runs as"),
	KEY_OR_NONE(ssh_key, ssh_key, PATH, "/etc/regent/id_ed25519",
				"private key for SSH, without passphrase; empty: only the agent"),
	KEY(ssh_known_hosts, ssh_known_hosts, PATH, "/etc/regent/known_hosts", 0, 0, NULL,
		"host keys of the nodes; an unknown key is never accepted"),
	KEY(state_directory, state_directory, PATH, "/var/lib/regent", 0, 0, NULL,
		"regentd's identity and journal; never copy it"),
	KEY_OR_NONE(control_socket, control_socket, PATH, "",
				"socket that the regent command talks to; default /run/regent/NAME.sock"),
	KEY_OR_NONE(http_listen, http_listen, LISTEN, "",
				"address that answers health checks of load balancers; empty: none"),

	NODE_KEY(host, host, HOST, true, "", 0, 0,
			 "where PostgreSQL listens: a name, an address, or a socket directory"),
	NODE_KEY(port, port, INTEGER, false, "5432", 1, 65535,
			 "PostgreSQL's port"),
	ROW("node", RgNodeConfig, ssh_host, ssh_host, SSHHOST, false, true, "", 0, 0, NULL,
		"where sshd listens; default: host"),
	NODE_KEY(ssh_port, ssh_port, INTEGER, false, "22", 1, 65535,
			 "sshd's port"),
	NODE_KEY(priority, priority, INTEGER, false, "100", 0, 1000,
			 "the greatest wins among equally advanced candidates; 0: never promoted"),
	NODE_KEY(weight, weight, INTEGER, false, "1", 0, 1000,
			 "share of reads through a load balancer; 0: none"),
	ROW("node", RgNodeConfig, upstream, upstream, NAME, false, true, "", 0, 0, NULL,
		"another node that this one streams from, as a cascading standby without a vote; empty: from the leader"),
};

const int	rg_nkeys = sizeof(rg_keys) / sizeof(rg_keys[0]);

_Static_assert(sizeof(rg_keys) / sizeof(rg_keys[0]) <= RG_KEYS_MAX, "RG_KEYS_MAX is too small");

const char *
rg_config_key(int i)
{
	return i >= 0 && i < rg_nkeys ? rg_keys[i].doc : NULL;
}

int
rg_key_find(const char *section, const char *name)
{
	for (int i = 0; i < rg_nkeys; i++)
		if (strcmp(rg_keys[i].section, section) == 0 && strcmp(rg_keys[i].name, name) == 0)
			return i;
	return -1;
}

/* Case and the kind of dash are no difference. */
static char
fold(char c)
{
	if (c == '-')
		return '_';
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

/* Levenshtein's distance, one row at a time. */
int
rg_word_distance(const char *a, const char *b)
{
	int			row[65];
	size_t		la = strnlen(a, 64);
	size_t		lb = strnlen(b, 64);

	for (size_t j = 0; j <= lb; j++)
		row[j] = (int) j;
	for (size_t i = 1; i <= la; i++)
	{
		int			diagonal = row[0];

		row[0] = (int) i;
		for (size_t j = 1; j <= lb; j++)
		{
			int			best = diagonal + (fold(a[i - 1]) != fold(b[j - 1]));

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[lb];
}

/* "heartbeat" for heartbeat_interval. */
static bool
is_start_of(const char *name, const char *key)
{
	size_t		len = strlen(name);

	return len >= 4 && strncmp(name, key, len) == 0;
}

int
rg_key_nearest(const char *section, const char *name)
{
	int			best = -1;
	int			least = 0;

	for (int i = 0; i < rg_nkeys; i++)
	{
		int			distance;

		if (strcmp(rg_keys[i].section, section) != 0)
			continue;
		distance = is_start_of(name, rg_keys[i].name) ? 1 : rg_word_distance(rg_keys[i].name, name);
		/* half a word wrong is another word */
		if (distance * 2 >= (int) strlen(rg_keys[i].name) || distance > 6)
			continue;
		if (best < 0 || distance < least)
		{
			best = i;
			least = distance;
		}
	}
	return best;
}

const char *
rg_key_type_name(RgKeyType type)
{
	switch (type)
	{
		case RG_KEY_NAME:
			return T_NAME;
		case RG_KEY_ROLE:
			return T_ROLE;
		case RG_KEY_HOST:
		case RG_KEY_SSHHOST:
			return T_HOST;
		case RG_KEY_LISTEN:
			return T_LISTEN;
		case RG_KEY_PATH:
			return T_PATH;
		case RG_KEY_NODEPATH:
			return T_NODEPATH;
		case RG_KEY_DURATION:
			return T_DURATION;
		case RG_KEY_INTEGER:
			return T_INTEGER;
		case RG_KEY_SIZE:
			return T_SIZE;
		case RG_KEY_BOOLEAN:
			return T_BOOLEAN;
		case RG_KEY_CHOICE:
		case RG_KEY_ENUM:
			break;
	}
	return T_CHOICE;
}
