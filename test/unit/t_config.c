/*
 * t_config.c
 *	  regent.conf: good files, and every kind of bad one with its message.
 *
 * A bad file is a row: its text and what must stand in the messages.  The
 * messages are part of the product, so the tests compare their words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <libssh2.h>

#include "watchdog/app/config.h"
#include "watchdog/app/config_keys.h"
#include "watchdog/app/config_value.h"

#define WITH_RSA_SHA2 0x010b00		/* libssh2 1.11.0 */

#define CLUSTER "[cluster]\nname = main\n"
#define N1 "[node n1]\nhost = 10.0.0.11\n"
#define N2 "[node n2]\nhost = 10.0.0.12\n"

/* Reads text as a file; messages into *ret_out (to be freed). */
static int
read_text(const char *text, size_t len, RgConfig *ret_config, char **ret_out, RgError *err)
{
	char		file[] = "/tmp/t_config.XXXXXX";
	int			fd = mkstemp(file);
	size_t		size;
	FILE	   *out = open_memstream(ret_out, &size);
	int			rc;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t) len);
	close(fd);
	rc = rg_config_read(file, ret_config, out, err);
	fclose(out);
	unlink(file);
	return rc;
}

static RgConfig *
read_good(const char *text)
{
	RgConfig   *config = calloc(1, sizeof(*config));
	RgError		err = {0};
	char	   *out = NULL;

	if (read_text(text, strlen(text), config, &out, &err) != 0)
		fail_msg("refused: %s\n%s", err.message, out);
	free(out);
	return config;
}

static void
test_config_defaults_are_those_of_the_design(void **state)
{
	RgConfig   *c = read_good(CLUSTER N1 N2);

	(void) state;
	assert_string_equal(c->name, "main");
	assert_string_equal(c->user, "regent");
	assert_string_equal(c->database, "postgres");
	assert_string_equal(c->passfile, "/etc/regent/passfile");
	assert_string_equal(c->sslmode, "prefer");
	assert_string_equal(c->replication_user, "regent_replication");
	assert_string_equal(c->replication_passfile, "/var/lib/postgresql/.pgpass");
	assert_int_equal(c->heartbeat_interval_ms, 500);
	assert_int_equal(c->lease_ms, 5000);
	assert_int_equal(c->restart_budget_ms, 30000);
	assert_int_equal(c->hang_budget_ms, 3000);
	assert_string_equal(c->durability, "async");
	assert_int_equal(c->quorum, 1);
	assert_true(c->auto_failover);
	assert_true(c->auto_rejoin);
	assert_int_equal(c->promote_via, RG_PROMOTE_BOTH);
	assert_int_equal(c->on_disk_full, RG_ON_DISK_FULL_ALARM);
	assert_int_equal(c->crash_limit, 3);
	assert_int_equal(c->crash_window_ms, 600000);
	assert_string_equal(c->ssh_user, "postgres");
	assert_string_equal(c->ssh_key, "/etc/regent/id_ed25519");
	assert_string_equal(c->ssh_known_hosts, "/etc/regent/known_hosts");
	assert_string_equal(c->state_directory, "/var/lib/regent");
	assert_string_equal(c->control_socket, "/run/regent/main.sock");
	assert_string_equal(c->http_listen, "");
	assert_int_equal(c->nnodes, 2);
	assert_string_equal(c->nodes[0].name, "n1");
	assert_string_equal(c->nodes[0].host, "10.0.0.11");
	assert_string_equal(c->nodes[0].ssh_host, "10.0.0.11");
	assert_int_equal(c->nodes[0].port, 5432);
	assert_int_equal(c->nodes[0].ssh_port, 22);
	assert_int_equal(c->nodes[0].priority, 100);
	assert_int_equal(c->nodes[0].weight, 1);
	assert_int_equal(rg_config_node(c, "n2"), 1);
	assert_int_equal(rg_config_node(c, "n3"), -1);
	free(c);
}

static void
test_config_every_key_is_read(void **state)
{
	RgConfig   *c = read_good("\xef\xbb\xbf# a comment\r\n"
							  "  [cluster]   ; indented, with a comment\r\n"
							  "\tname = c_1 ; behind a value\n"
							  "user=u\ndatabase: d\npassfile =\nsslmode = verify-full\n"
							  "replication_user = r\nreplication_passfile =\n"
							  "heartbeat_interval = 50ms\nlease = 1 s\nrestart_budget = 0s\n"
							  "hang_budget = 1min\ndurability = async\nquorum = 1\n"
							  "auto_failover = no\nauto_rejoin = 0\npromote_via = sql\n"
							  "on_disk_full = failover\ncrash_limit = 0\ncrash_window = 1min\n"
							  "ssh_user = pg\nssh_key =\nssh_known_hosts = /k\n"
							  "state_directory = /s\ncontrol_socket = /c.sock\nhttp_listen = [::1]:80\n"
							  "[node a]\nhost = /tmp\nssh_host = db1\nport = 5433\nssh_port = 2222\n"
							  "priority = 0\nweight = 1000\n"
							  "[node  b]\nhost = ::1\nupstream =\n"
							  "[node c]\nhost = ::2\nupstream = b\n");

	(void) state;
	assert_string_equal(c->name, "c_1");
	assert_string_equal(c->user, "u");
	assert_string_equal(c->database, "d");
	assert_string_equal(c->passfile, "");
	assert_string_equal(c->sslmode, "verify-full");
	assert_string_equal(c->replication_user, "r");
	assert_string_equal(c->replication_passfile, "");
	assert_int_equal(c->heartbeat_interval_ms, 50);
	assert_int_equal(c->lease_ms, 1000);
	assert_int_equal(c->restart_budget_ms, 0);
	assert_int_equal(c->hang_budget_ms, 60000);
	assert_false(c->auto_failover);
	assert_false(c->auto_rejoin);
	assert_int_equal(c->promote_via, RG_PROMOTE_SQL);
	assert_int_equal(c->on_disk_full, RG_ON_DISK_FULL_FAILOVER);
	assert_int_equal(c->crash_limit, 0);
	assert_int_equal(c->crash_window_ms, 60000);
	assert_string_equal(c->ssh_user, "pg");
	assert_string_equal(c->ssh_key, "");
	assert_string_equal(c->ssh_known_hosts, "/k");
	assert_string_equal(c->state_directory, "/s");
	assert_string_equal(c->control_socket, "/c.sock");
	assert_string_equal(c->http_listen, "[::1]:80");
	assert_string_equal(c->nodes[0].host, "/tmp");
	assert_string_equal(c->nodes[0].ssh_host, "db1");
	assert_int_equal(c->nodes[0].port, 5433);
	assert_int_equal(c->nodes[0].ssh_port, 2222);
	assert_int_equal(c->nodes[0].priority, 0);
	assert_int_equal(c->nodes[0].weight, 1000);
	assert_string_equal(c->nodes[1].name, "b");
	assert_string_equal(c->nodes[1].ssh_host, "::1");
	assert_string_equal(c->nodes[1].upstream, "");
	assert_string_equal(c->nodes[2].upstream, "b");
	assert_false(rg_config_cascades(c, 1));
	assert_true(rg_config_cascades(c, 2));
	assert_int_equal(rg_config_voters(c), 2);
	free(c);
}

static void
test_config_single_node_is_a_warning(void **state)
{
	RgConfig   *c = calloc(1, sizeof(*c));
	RgError		err = {0};
	char	   *out = NULL;

	(void) state;
	assert_int_equal(read_text(CLUSTER N1, strlen(CLUSTER N1), c, &out, &err), 0);
	assert_non_null(strstr(out, ":3: warning: there is only one node: nobody can take over"));
	free(out);
	free(c);
}

typedef struct Bad
{
	const char *text;
	const char *messages[4];	/* each must stand in the output */
} Bad;

#define NODES N1 N2

static const Bad bad[] = {
	/* the file's form */
	{"", {": section [cluster] is missing", ": there is no node: add a section [node n1]"}},
	{"name = main\n" CLUSTER NODES,
	{":1: key \"name\" stands before the first section: begin with a line [cluster]"}},
	{CLUSTER "lease 5s\nnonsense\n" NODES, {":3: a line has the form \"key = value\"",
	":4: a line has the form \"key = value\""}},
	{CLUSTER NODES "last", {":7: a line has the form \"key = value\""}},
	{CLUSTER NODES "[node n3\nhost = h\n", {":7: a section is written as [cluster] or [node NAME]"}},
	{CLUSTER NODES "[node n3] host = h\n", {":7: a section is written as [cluster] or [node NAME]"}},
	{CLUSTER "[clutser]\n" NODES, {":3: unknown section [clutser]: did you mean [cluster]?"}},
	{CLUSTER NODES "[n3]\nhost = h\n", {":7: unknown section [n3]: did you mean [node n3]?"}},
	{CLUSTER NODES "[n-3]\n", {":7: unknown section [n-3]: there are [cluster] and [node NAME]"}},
	{CLUSTER NODES "[node]\n", {":7: a node's section has its name: [node n1]"}},
	{CLUSTER NODES CLUSTER, {":7: section [cluster] is there twice: the first is at line 1",
	":8: key \"name\" is there twice: the first is at line 2"}},
	/* keys */
	{CLUSTER N1 "[node n2]\n", {":5: key \"host\" is missing in this section"}},
	{CLUSTER "lease = 5s\nlease = 6s\n" NODES, {":4: key \"lease\" is there twice: the first is at line 3"}},
	{CLUSTER "heartbeat_intervall = 1s\n" NODES,
	{":3: unknown key \"heartbeat_intervall\": did you mean \"heartbeat_interval\"?"}},
	{CLUSTER "heartbeat = 1s\n" NODES, {"did you mean \"heartbeat_interval\"?"}},
	{CLUSTER "Auto-Failover = on\n" NODES, {"unknown key \"Auto-Failover\": did you mean \"auto_failover\"?"}},
	{CLUSTER N1 "prioritty = 1\n" N2, {":5: unknown key \"prioritty\": did you mean \"priority\"?"}},
	{CLUSTER "include_dir = /etc\n" NODES, {":3: unknown key \"include_dir\" in [cluster]"}},
	{CLUSTER N1 "colour = red\n" N2, {":5: unknown key \"colour\" in a [node NAME] section"}},
	{CLUSTER "priority = 5\n" NODES, {":3: key \"priority\" does not belong here: it belongs in a [node NAME] section"}},
	{CLUSTER N1 "lease = 5s\n" N2, {":5: key \"lease\" does not belong here: it belongs in [cluster]"}},
	/* values */
	{CLUSTER "lease = 5\n" NODES, {":3: lease = 5: it has no unit: write 5ms, 5s, 5min or 5h"}},
	{CLUSTER "lease = 1.5s\n" NODES, {"only whole numbers are allowed: write 1500ms instead of 1.5s"}},
	{CLUSTER "lease = 5m\n" NODES, {"\"m\" is not a unit: ms, s, min, h and d are"}},
	{CLUSTER "lease = soon\n" NODES, {"lease = soon: a duration is needed, such as 500ms, 5s, 1min or 2h"}},
	{CLUSTER "lease = -5s\n" NODES, {"lease = -5s: a duration is needed"}},
	{CLUSTER "lease = 99999999999999999999s\n" NODES, {"a duration is needed"}},
	{CLUSTER "lease = 999999999999999999d\n" NODES, {"is not a unit"}},
	{CLUSTER "lease = 11min\n" NODES, {"lease = 11min: it is out of range: 500ms to 10min"}},
	{CLUSTER "heartbeat_interval = 10ms\n" NODES, {"it is out of range: 50ms to 1min"}},
	{CLUSTER "heartbeat_interval = 61s\n" NODES, {"it is out of range: 50ms to 1min"}},
	{CLUSTER "lease =\n" NODES, {":3: lease = : it is empty"}},
	{CLUSTER "user = \"regent\"\n" NODES, {":3: user = \"regent\": values are written without quotes"}},
	{CLUSTER "user = regent # me\n" NODES, {"a comment behind a value begins with ;, not with #"}},
	{CLUSTER "auto_failover = maybe\n" NODES, {"auto_failover = maybe: on or off is needed"}},
	{CLUSTER "promote_via = fax\n" NODES, {"promote_via = fax: one of both, ssh, sql is needed"}},
	{CLUSTER "promote_via = ss\n" NODES, {"one of both, ssh, sql is needed"}},
	{CLUSTER "on_disk_full = panic\n" NODES, {"one of alarm, failover is needed"}},
	{CLUSTER "crash_limit = 17\n" NODES, {"crash_limit = 17"}},
	{CLUSTER "crash_window = 10ms\n" NODES, {"crash_window = 10ms"}},
	{CLUSTER "sslmode = on\n" NODES, {"one of disable, allow, prefer, require, verify-ca, verify-full is needed"}},
	{CLUSTER "durability = sync\n[node n1]\nhost = a\n", {":3: durability = sync needs a standby"}},
	{CLUSTER "durability = full\n" NODES, {"one of async, sync, strict is needed"}},
	{CLUSTER "quorum = 0\n" NODES, {"quorum = 0: a whole number from 1 to 15 is needed"}},
	{CLUSTER "quorum = 2\n" NODES, {":3: quorum = 2 is more than the cluster has standbys: at most 1"}},
	{CLUSTER "user = reg ent\n" NODES, {"letters, digits and _ . @ + - are allowed"}},
	{CLUSTER "passfile = passfile\n" NODES, {"passfile = passfile: an absolute path is needed"}},
	{CLUSTER "replication_passfile = /my home/.pgpass\n" NODES, {"it travels over SSH: letters, digits"}},
	{CLUSTER "http_listen = localhost:80\n" NODES, {"an address and a port are needed, such as 127.0.0.1:8008"}},
	{CLUSTER "http_listen = 127.0.0.1\n" NODES, {"an address and a port are needed"}},
	{CLUSTER "http_listen = ::1:80\n" NODES, {"an address and a port are needed"}},
	{CLUSTER "http_listen = 127.0.0.1:65536\n" NODES, {"an address and a port are needed"}},
	{"[cluster]\nname = Main\n" NODES, {":2: name = Main: 1 to 40 lower-case letters, digits and _ are allowed"}},
	{CLUSTER N1 "port = 70000\n" N2, {":5: port = 70000: a whole number from 1 to 65535 is needed"}},
	{CLUSTER N1 "port = 5432x\n" N2, {"a whole number from 1 to 65535 is needed"}},
	{CLUSTER N1 "priority = 1001\n" N2, {"a whole number from 0 to 1000 is needed"}},
	{CLUSTER N1 "weight = -1\n" N2, {"a whole number from 0 to 1000 is needed"}},
	{CLUSTER N1 "[node n2]\nhost = 10.0.0.12, 10.0.0.13\n", {"a host name or an address is needed"}},
	{CLUSTER N1 "[node n2]\nhost = -oProxyCommand=x\n", {"a host name or an address is needed"}},
	{CLUSTER "control_socket = run.sock\n" NODES, {"an absolute path is needed"}},
	/* nodes */
	{CLUSTER N1 N1, {":5: node \"n1\" is there twice: its first section is at line 3"}},
	{CLUSTER N1 "[node any]\nhost = h\n", {":5: a node can't be named \"any\""}},
	{CLUSTER N1 "[node first]\nhost = h\n", {":5: a node can't be named \"first\""}},
	{CLUSTER N1 "[node N2]\nhost = h\n", {":5: invalid node name \"N2\": 1 to 40 lower-case letters"}},
	{CLUSTER N1 "[node n 2]\nhost = h\n", {"invalid node name \"n 2\""}},
	{CLUSTER N1 "[node abcdefghijabcdefghijabcdefghijabcdefghijk]\nhost = h\n", {":5: invalid node name"}},
	{CLUSTER N1 "[node n2]\nport = 5432\nhost = 10.0.0.11\n",
	{":7: nodes n1 and n2 have the same host and port (10.0.0.11, 5432): each node is a server of its own"}},
	{CLUSTER "[node n1]\nhost = Db\n[node n2]\nhost = db\n", {"nodes n1 and n2 have the same host and port"}},
	{CLUSTER N1 "[node n2]\nhost = /tmp\n", {":5: node n2 has a socket directory as host, so it needs a key \"ssh_host\""}},
	{CLUSTER N1 N2 "upstream = n3\n", {":7: upstream = n3: there is no node of this name"}},
	{CLUSTER N1 N2 "upstream = n2\n", {":7: upstream = n2: a node can't stream from itself"}},
	{CLUSTER N1 N2 "upstream = n1\n" "[node n3]\nhost = h\nupstream = n2\n",
	{":10: upstream = n2: that node has an upstream itself (n1); take one without"}},
	{CLUSTER N1 "upstream = n2\n" N2 "upstream = n1\n",
	{":5: upstream = n2: that node has an upstream itself (n1)", ":8: upstream = n1: that node has an upstream itself (n2)"}},
	{CLUSTER "durability = sync\nquorum = 2\n" N1 N2 "[node n3]\nhost = h\nupstream = n2\n",
	{":4: quorum = 2 is more than the cluster has standbys: at most 1"}},
	{CLUSTER N1 "priority = 0\n" N2 "priority = 0\n" "[node n3]\nhost = h\nupstream = n2\n",
	{":5: priority = 0 on all nodes without an upstream: failover could never happen"}},
	{CLUSTER N1 "priority = 0\n" N2 "priority = 0\n", {":5: priority = 0 on all nodes: failover could never happen"}},
	/* combinations, and several errors at once */
	{CLUSTER "heartbeat_interval = 2s\nlease = 7s\nhang_budget = 5s\n" NODES,
	{":4: lease = 7s is too short for heartbeat_interval = 2s: at least four heartbeats, 8s"}},
	{CLUSTER "heartbeat_interval = 1500ms\n" NODES,
	{":1: lease = 5s is too short for heartbeat_interval = 1500ms: at least four heartbeats, 6s"}},
	{CLUSTER "hang_budget = 900ms\n" NODES,
	{":3: hang_budget = 900ms is too short for heartbeat_interval = 500ms: at least two heartbeats, 1s"}},
	{CLUSTER "lease = 5\nauto_failover = x\nqourum = 1\n" NODES "port = x\n",
	{":3: lease = 5", ":4: auto_failover = x", ":5: unknown key \"qourum\": did you mean \"quorum\"?",
	":10: port = x"}},
};

static void
test_config_bad_files_say_what_would_be_right(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		RgConfig   *c = calloc(1, sizeof(*c));
		RgError		err = {0};
		char	   *out = NULL;
		int			expected = 0;
		char		count[32];

		assert_int_equal(read_text(bad[i].text, strlen(bad[i].text), c, &out, &err), RGE_ARGUMENT);
		for (int m = 0; m < 4 && bad[i].messages[m] != NULL; m++, expected++)
			if (strstr(out, bad[i].messages[m]) == NULL)
				fail_msg("bad file %zu:\n%s\nmessages:\n%s\nlacks: %s",
						 i, bad[i].text, out, bad[i].messages[m]);
		/* nothing more than was expected, and the sum is right */
		snprintf(count, sizeof(count), "has %d error%s", expected, expected == 1 ? "" : "s");
		if (strstr(err.message, count) == NULL)
			fail_msg("bad file %zu:\n%s\nmessages:\n%s\n%s", i, bad[i].text, out, err.message);
		assert_string_equal(c->name, "");	/* untouched on failure */
		free(out);
		free(c);
	}
}

static void
test_config_too_many_nodes(void **state)
{
	char		text[4096] = CLUSTER;
	RgConfig   *c = calloc(1, sizeof(*c));
	RgError		err = {0};
	char	   *out = NULL;

	(void) state;
	for (int i = 1; i <= RG_NODES_MAX + 1; i++)
		sprintf(text + strlen(text), "[node n%d]\nhost = h%d\n", i, i);
	assert_int_equal(read_text(text, strlen(text), c, &out, &err), RGE_ARGUMENT);
	assert_non_null(strstr(out, ":35: too many nodes: a cluster has at most 16"));
	free(out);
	free(c);
}

static void
test_config_long_lines_and_zero_bytes(void **state)
{
	char		text[1024] = CLUSTER NODES;
	RgConfig   *c = calloc(1, sizeof(*c));
	RgError		err = {0};
	char	   *out = NULL;
	size_t		len;

	(void) state;
	/* a long comment is harmless */
	strcat(text, "; ");
	memset(text + strlen(text), 'x', 400);
	strcat(text, "\n");
	assert_int_equal(read_text(text, strlen(text), c, &out, &err), 0);
	free(out);

	strcpy(text, CLUSTER "passfile = /");
	memset(text + strlen(text), 'x', 300);
	strcat(text, "\n" NODES);
	assert_int_equal(read_text(text, strlen(text), c, &out, &err), RGE_ARGUMENT);
	assert_non_null(strstr(out, ":3: the line is too long: at most 198 characters"));
	free(out);

	memcpy(text, CLUSTER "us\0er = x\n" NODES, len = sizeof(CLUSTER "us\0er = x\n" NODES) - 1);
	assert_int_equal(read_text(text, len, c, &out, &err), RGE_ARGUMENT);
	assert_non_null(strstr(out, ":3: the line contains a zero byte"));
	free(out);
	free(c);
}

static void
test_config_complaints_are_limited(void **state)
{
	char		text[8192] = CLUSTER NODES;
	RgConfig   *c = calloc(1, sizeof(*c));
	RgError		err = {0};
	char	   *out = NULL;
	int			lines = 0;

	(void) state;
	for (int i = 0; i < 200; i++)
		strcat(text, "zzzz = 1\n");
	assert_int_equal(read_text(text, strlen(text), c, &out, &err), RGE_ARGUMENT);
	for (char *at = out; (at = strchr(at, '\n')) != NULL; at++)
		lines++;
	assert_int_equal(lines, 50);
	assert_non_null(strstr(err.message, "has 200 errors"));
	free(out);
	free(c);
}

static void
test_config_missing_file(void **state)
{
	RgConfig	c = {0};
	RgError		err = {0};

	(void) state;
	assert_int_equal(rg_config_read("/nonexistent/regent.conf", &c, NULL, &err), RGE_IO);
	assert_string_equal(err.message, "could not open configuration file \"/nonexistent/regent.conf\": "
						"No such file or directory");
	assert_string_equal(err.hint, "Name the file with -c FILE.");
	assert_int_equal(rg_config_read("/tmp", &c, NULL, &err), RGE_IO);
	assert_non_null(strstr(err.message, "Is a directory"));
}

static void
test_config_key_table_is_sound(void **state)
{
	(void) state;
	for (int i = 0; i < rg_nkeys; i++)
	{
		const RgKey *key = &rg_keys[i];
		char		base[sizeof(RgConfig)] = {0};
		char		why[RG_WHY_MAX];
		int			bars = 0;

		/* its default is a value that it takes */
		if (*key->value != '\0')
			assert_int_equal(rg_value_set(key, key->value, base, why, sizeof(why)), 0);
		assert_int_equal(rg_key_find(key->section, key->name), i);
		for (const char *at = rg_config_key(i); (at = strchr(at, '|')) != NULL; at++)
			bars++;
		assert_int_equal(bars, 3);
		assert_non_null(strstr(rg_config_key(i), rg_key_type_name(key->type)));
	}
	assert_null(rg_config_key(rg_nkeys));
	assert_null(rg_config_key(-1));
	assert_string_equal(rg_config_key(rg_key_find("cluster", "lease")),
						"cluster.lease|duration|5s|for how long a leader may acknowledge writes "
						"after a heartbeat; at least four heartbeats");
}

static void
test_config_duration_format(void **state)
{
	char		buf[32];

	(void) state;
	assert_string_equal(rg_duration_format(0, buf, sizeof(buf)), "0s");
	assert_string_equal(rg_duration_format(1500, buf, sizeof(buf)), "1500ms");
	assert_string_equal(rg_duration_format(90000, buf, sizeof(buf)), "90s");
	assert_string_equal(rg_duration_format(120000, buf, sizeof(buf)), "2min");
	assert_string_equal(rg_duration_format(86400000, buf, sizeof(buf)), "1d");
}

static void
write_file(const char *dir, const char *name, const char *text, mode_t mode)
{
	char		path[256];
	FILE	   *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

/* A new key pair in dir; the tests carry no key along. */
static void
make_key(const char *dir, const char *options)
{
	char		command[512];

	snprintf(command, sizeof(command), "rm -f %s/key && ssh-keygen -q -f %s/key %s", dir, dir, options);
	assert_int_equal(system(command), 0);
}

#define HOST_KEY " ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP9DqU3rVLy3dOWX4HQlYjRN8Bh7KjEnYpWcFWJ/kjE3\n"

static char *
files_report(RgConfig *c, int expected)
{
	char	   *out = NULL;
	size_t		size;
	FILE	   *stream = open_memstream(&out, &size);
	int			rc = rg_config_check_files(c, stream);

	fclose(stream);
	if (rc != expected)
		fail_msg("rg_config_check_files returned %d:\n%s", rc, out);
	return out;
}

static void
expect(RgConfig *c, int rc, const char *message)
{
	char	   *out = files_report(c, rc);

	if (strstr(out, message) == NULL)
		fail_msg("messages:\n%s\nlack: %s", out, message);
	free(out);
}

static void
test_config_files_are_looked_at(void **state)
{
	char		dir[] = "/tmp/t_config.XXXXXX";
	char		path[300];
	RgConfig   *c;
	char	   *out;

	(void) state;
	assert_non_null(mkdtemp(dir));
	write_file(dir, "regent.conf", CLUSTER "http_listen =\n" N1 N2 "ssh_port = 2222\n", 0640);
	snprintf(path, sizeof(path), "%s/regent.conf", dir);
	c = calloc(1, sizeof(*c));
	assert_int_equal(rg_config_read(path, c, NULL, NULL), 0);
	snprintf(c->passfile, sizeof(c->passfile), "%s/passfile", dir);
	snprintf(c->ssh_key, sizeof(c->ssh_key), "%s/key", dir);
	snprintf(c->ssh_known_hosts, sizeof(c->ssh_known_hosts), "%s/known_hosts", dir);
	snprintf(c->state_directory, sizeof(c->state_directory), "%s", dir);
	snprintf(c->control_socket, sizeof(c->control_socket), "%s/sock", dir);

	expect(c, RGE_TRUST, "/key does not exist\n  fix: runuser -u ");
	expect(c, RGE_TRUST, "/known_hosts does not exist\n  fix: ssh-keyscan");
	expect(c, RGE_TRUST, "warning: passfile ");
	write_file(dir, "passfile", "*:*:*:regent:x\n", 0644);
	make_key(dir, "-t ed25519 -N ''");
	write_file(dir, "known_hosts", "10.0.0.11" HOST_KEY "[10.0.0.12]:2222" HOST_KEY, 0644);
	expect(c, RGE_TRUST, "is open to others (mode 0644), so libpq ignores it\n  fix: chmod 600 ");
	write_file(dir, "passfile", "*:*:*:regent:x\n", 0600);
	out = files_report(c, 0);
	assert_string_equal(out, "");
	free(out);

	make_key(dir, "-t ecdsa -N ''");
	expect(c, 0, "");
	assert_int_equal(chmod(c->ssh_key, 0644), 0);
	expect(c, RGE_TRUST, "can be read by others (mode 0644)\n  fix: chmod 600 ");
	make_key(dir, "-t ed25519 -N secret");
	expect(c, RGE_TRUST, "/key\" has a passphrase");
	if (libssh2_version(WITH_RSA_SHA2) == NULL)
	{
		make_key(dir, "-t rsa -b 1024 -m PEM -N ''");
		expect(c, RGE_TRUST, "/key\" holds an RSA key, which can't be used\n  fix: Make an Ed25519 key: ssh-keygen");
		make_key(dir, "-t rsa -b 1024 -N ''");
		expect(c, RGE_TRUST, "/key\" holds an RSA key, which can't be used\n  fix: Make an Ed25519 key: ssh-keygen");
	}
	write_file(dir, "key", "ssh-ed25519 AAAA the public half\n", 0600);
	expect(c, RGE_TRUST, "holds no private key");
	write_file(dir, "key", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n", 0600);
	expect(c, RGE_TRUST, "holds no private key");
	make_key(dir, "-t ed25519 -N ''");

	write_file(dir, "known_hosts", "10.0.0.11" HOST_KEY, 0644);
	expect(c, RGE_TRUST, "error: n2: known_hosts has no key of 10.0.0.12 port 2222\n"
		   "  fix: ssh-keyscan -p 2222 10.0.0.12 >> ");
	write_file(dir, "identity", "", 0600);
	if (geteuid() == 0)
	{
		snprintf(path, sizeof(path), "%s/identity", dir);
		assert_int_equal(chown(path, 65534, 65534), 0);
		expect(c, RGE_TRUST, "/identity belongs to another user than its directory");
	}
	chmod(dir, 0777);
	expect(c, RGE_TRUST, "has mode 0777\n  fix: chmod 700 ");
	chmod(dir, 0700);

	snprintf(path, sizeof(path), "rm -r %s", dir);
	assert_int_equal(system(path), 0);
	expect(c, RGE_TRUST, "can't be used: No such file or directory\n  fix: install -d -m 700 ");
	free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_defaults_are_those_of_the_design),
		cmocka_unit_test(test_config_every_key_is_read),
		cmocka_unit_test(test_config_single_node_is_a_warning),
		cmocka_unit_test(test_config_bad_files_say_what_would_be_right),
		cmocka_unit_test(test_config_too_many_nodes),
		cmocka_unit_test(test_config_long_lines_and_zero_bytes),
		cmocka_unit_test(test_config_complaints_are_limited),
		cmocka_unit_test(test_config_missing_file),
		cmocka_unit_test(test_config_key_table_is_sound),
		cmocka_unit_test(test_config_duration_format),
		cmocka_unit_test(test_config_files_are_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
