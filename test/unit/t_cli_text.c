/*
 * t_cli_text.c
 *	  What the regent command writes without asking anybody: connection
 *	  strings, HAProxy's configuration, the status text, passfile lines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "watchdog/app/conninfo.h"
#include "watchdog/cli/haproxy.h"
#include "watchdog/cli/job_text.h"
#include "watchdog/cli/passfile.h"
#include "watchdog/cli/status_text.h"
#include "watchdog/cli/sync_names.h"
#include "watchdog/cli/text.h"
#include "watchdog/cli/uri.h"

/* Three nodes; n2 is preferred, n3 takes no reads. */
static void
make_config(RgConfig *c)
{
	memset(c, 0, sizeof(*c));
	strcpy(c->file, "regent.conf");
	strcpy(c->name, "main");
	strcpy(c->database, "postgres");
	strcpy(c->sslmode, "prefer");
	strcpy(c->replication_user, "regent_replication");
	strcpy(c->replication_passfile, "/var/lib/postgresql/.pgpass");
	strcpy(c->http_listen, "127.0.0.1:8008");
	c->nnodes = 3;
	for (int i = 0; i < 3; i++)
	{
		sprintf(c->nodes[i].name, "n%d", i + 1);
		sprintf(c->nodes[i].host, "10.0.0.1%d", i + 1);
		c->nodes[i].port = 5432;
		c->nodes[i].priority = 100;
		c->nodes[i].weight = 1;
	}
	c->nodes[1].priority = 200;
	c->nodes[1].weight = 3;
	c->nodes[2].weight = 0;
}

static const char *
parsed(PQconninfoOption *options, const char *keyword)
{
	for (PQconninfoOption *o = options; o->keyword != NULL; o++)
		if (strcmp(o->keyword, keyword) == 0)
			return o->val != NULL ? o->val : "";
	return "";
}

/* libpq must read what we write. */
static PQconninfoOption *
parse(const char *text)
{
	char	   *message = NULL;
	PQconninfoOption *options = PQconninfoParse(text, &message);

	if (options == NULL)
		fail_msg("%s: %s", text, message);
	return options;
}

static void
test_uri_write_lists_promotable_nodes_by_priority(void **state)
{
	RgConfig	c;
	char		buf[RG_URI_MAX];

	(void) state;
	make_config(&c);
	c.nodes[0].priority = 0;
	assert_string_equal(rg_uri_build(&c, RG_URI_WRITE, RG_URI_FORM_URI, "app", "", buf),
						"postgresql://10.0.0.12:5432,10.0.0.13:5432/app"
						"?target_session_attrs=read-write&connect_timeout=3");
	assert_string_equal(rg_uri_build(&c, RG_URI_WRITE, RG_URI_FORM_KEYWORDS, "app", "me", buf),
						"host=10.0.0.12,10.0.0.13 port=5432,5432 dbname=app user=me "
						"target_session_attrs=read-write connect_timeout=3");
}

static void
test_uri_read_lists_nodes_with_weight(void **state)
{
	RgConfig	c;
	char		buf[RG_URI_MAX];

	(void) state;
	make_config(&c);
	assert_string_equal(rg_uri_build(&c, RG_URI_READ, RG_URI_FORM_URI, "app", "", buf),
						"postgresql://10.0.0.12:5432,10.0.0.11:5432/app"
						"?target_session_attrs=prefer-standby&connect_timeout=3");
	for (int i = 0; i < 3; i++)
		c.nodes[i].weight = 0;
	assert_non_null(strstr(rg_uri_build(&c, RG_URI_READ, RG_URI_FORM_URI, "app", "", buf), "10.0.0.13"));
}

static void
test_uri_odd_values_survive_libpq(void **state)
{
	RgConfig	c;
	char		buf[RG_URI_MAX];

	(void) state;
	make_config(&c);
	strcpy(c.nodes[0].host, "::1");
	strcpy(c.nodes[1].host, "/run/postgresql");
	strcpy(c.nodes[2].host, "db_3.example.org");
	strcpy(c.sslmode, "verify-full");
	for (int form = RG_URI_FORM_URI; form <= RG_URI_FORM_KEYWORDS; form++)
	{
		PQconninfoOption *o = parse(rg_uri_build(&c, RG_URI_WRITE, (RgUriForm) form, "a b'\\c/\xc3\xa4", "o'k @x", buf));

		assert_string_equal(parsed(o, "host"), "/run/postgresql,::1,db_3.example.org");
		assert_string_equal(parsed(o, "port"), "5432,5432,5432");
		assert_string_equal(parsed(o, "dbname"), "a b'\\c/\xc3\xa4");
		assert_string_equal(parsed(o, "user"), "o'k @x");
		assert_string_equal(parsed(o, "sslmode"), "verify-full");
		assert_string_equal(parsed(o, "target_session_attrs"), "read-write");
		PQconninfoFree(o);
	}
}

static char *
haproxy(const RgConfig *c, const RgHaproxyOptions *options)
{
	char	   *text = NULL;
	size_t		size;
	FILE	   *out = open_memstream(&text, &size);

	rg_haproxy_write(c, options, out);
	fclose(out);
	return text;
}

static const RgHaproxyOptions haproxy_defaults = {
	.write_port = 5000, .read_port = 5001, .bind = "*",
	.check_address = "127.0.0.1:8008", .run_as = "haproxy"
};

static void
test_haproxy_names_every_server_twice(void **state)
{
	RgConfig	c;
	char	   *text;

	(void) state;
	make_config(&c);
	strcpy(c.nodes[0].host, "::1");
	text = haproxy(&c, &haproxy_defaults);
	assert_non_null(strstr(text, "    bind *:5000\n"));
	assert_non_null(strstr(text, "    bind *:5001\n"));
	assert_non_null(strstr(text, "    user haproxy\n    group haproxy\n"));
	assert_non_null(strstr(text, "    server regentd 127.0.0.1:8008\n"));
	assert_non_null(strstr(text, "uri-lf \"/node/%[srv_name]/primary\""));
	assert_non_null(strstr(text, "uri-lf \"/node/%[srv_name]/standby\""));
	assert_non_null(strstr(text, "on-marked-down shutdown-sessions"));
	assert_non_null(strstr(text, "    server n1 [::1]:5432\n    server n2 10.0.0.12:5432\n    server n3 10.0.0.13:5432\n"));
	assert_non_null(strstr(text, "    server n1 [::1]:5432 weight 1\n    server n2 10.0.0.12:5432 weight 3\n"
						   "    # n3 has weight 0: no reads\n"));
	free(text);
}

static void
test_haproxy_weights_are_scaled(void **state)
{
	RgConfig	c;
	char	   *text;
	RgHaproxyOptions options = haproxy_defaults;

	(void) state;
	make_config(&c);
	c.nodes[0].weight = 1000;
	c.nodes[1].weight = 500;
	c.nodes[2].weight = 1;
	options.run_as = "none";
	text = haproxy(&c, &options);
	assert_non_null(strstr(text, "server n1 10.0.0.11:5432 weight 256\n"));
	assert_non_null(strstr(text, "server n2 10.0.0.12:5432 weight 128\n"));
	assert_non_null(strstr(text, "server n3 10.0.0.13:5432 weight 1\n"));
	assert_null(strstr(text, "user "));
	free(text);
}

static void
test_haproxy_refuses_what_it_cannot_balance(void **state)
{
	RgConfig	c;
	RgError		err = {0};
	RgHaproxyOptions options = haproxy_defaults;

	(void) state;
	make_config(&c);
	assert_int_equal(rg_haproxy_check(&c, &options, &err), 0);
	options.check_address = "";
	assert_int_equal(rg_haproxy_check(&c, &options, &err), RGE_ARGUMENT);
	assert_string_equal(err.message, "http_listen is not set in regent.conf");
	assert_non_null(strstr(err.hint, "Add \"http_listen = 127.0.0.1:8008\" to its section [cluster]"));
	options = haproxy_defaults;
	strcpy(c.nodes[2].host, "/tmp");
	assert_int_equal(rg_haproxy_check(&c, &options, &err), RGE_ARGUMENT);
	assert_string_equal(err.message, "node n3 has a socket directory as host");
	make_config(&c);
	options.read_port = 5000;
	assert_int_equal(rg_haproxy_check(&c, &options, &err), RGE_ARGUMENT);
}

/* The real program, where it is installed. */
static void
test_haproxy_itself_accepts_the_file(void **state)
{
	char		file[] = "/tmp/t_haproxy.XXXXXX";
	char		command[256];
	RgConfig	c;
	RgHaproxyOptions options = haproxy_defaults;
	int			fd;
	FILE	   *out;

	(void) state;
	if (access("/usr/sbin/haproxy", X_OK) != 0)
		skip();
	make_config(&c);
	options.run_as = "none";
	assert_true((fd = mkstemp(file)) >= 0);
	out = fdopen(fd, "w");
	rg_haproxy_write(&c, &options, out);
	fclose(out);
	/* -dW: a warning is an error */
	snprintf(command, sizeof(command), "/usr/sbin/haproxy -c -q -dW -f %s", file);
	if (system(command) != 0)
		fail_msg("refused: %s", command);
	unlink(file);
}

static void
test_conninfo_is_what_libpq_reads(void **state)
{
	RgConfig	c;
	char		buf[RG_CONNINFO_MAX];
	PQconninfoOption *o;

	(void) state;
	make_config(&c);
	strcpy(c.replication_passfile, "/var/lib/my pg's/.pgpass");
	o = parse(rg_conninfo_replication(&c, 1, 0, buf, sizeof(buf)));
	assert_string_equal(parsed(o, "host"), "10.0.0.11");
	assert_string_equal(parsed(o, "port"), "5432");
	assert_string_equal(parsed(o, "user"), "regent_replication");
	assert_string_equal(parsed(o, "application_name"), "n2");
	assert_string_equal(parsed(o, "passfile"), "/var/lib/my pg's/.pgpass");
	PQconninfoFree(o);

	make_config(&c);
	rg_conninfo_replication(&c, 1, 0, buf, sizeof(buf));
	assert_true(rg_conninfo_equal(buf, "host=10.0.0.11 port=5432 user=regent_replication application_name=n2 "
								  "passfile=/var/lib/postgresql/.pgpass connect_timeout=10"));
	assert_false(rg_conninfo_equal(buf, "host=10.0.0.12 port=5432 user=regent_replication application_name=n2 "
								   "passfile=/var/lib/postgresql/.pgpass"));
	assert_false(rg_conninfo_equal(buf, "not a connection string"));
	assert_false(rg_conninfo_equal(buf, ""));
}

static void
find_password(const char *file, const char *user, int rc, const char *password)
{
	char		buf[RG_PASSWORD_MAX];
	RgError		err = {0};

	assert_int_equal(rg_passfile_find(file, user, buf, sizeof(buf), &err), rc);
	assert_string_equal(buf, password);
}

static void
test_passfile_finds_the_users_own_line(void **state)
{
	char		file[] = "/tmp/t_passfile.XXXXXX";
	int			fd = mkstemp(file);
	static const char text[] =
		"# *:*:*:regent:no\n"
		"*:*:*:*:for-all\n"
		"too:few:fields\n"
		"*:*:*:regent:a\\:b\\\\c\r\n"
		"*:*:*:regent:second\n"
		"h\\:1:5432:postgres:rep:with space ";

	(void) state;
	assert_int_equal(write(fd, text, sizeof(text) - 1), (ssize_t) sizeof(text) - 1);
	close(fd);
	find_password(file, "regent", 0, "a:b\\c");
	find_password(file, "rep", 0, "with space ");
	find_password(file, "nobody", 0, "");
	find_password("", "regent", 0, "");
	find_password("/nonexistent", "regent", 0, "");
	chmod(file, 0640);
	find_password(file, "regent", RGE_TRUST, "");
	unlink(file);
}

static void
test_text_numbers(void **state)
{
	char		buf[RG_TEXT_SHORT];

	(void) state;
	assert_string_equal(rg_text_bytes(0, buf, sizeof(buf)), "0 B");
	assert_string_equal(rg_text_bytes(1023, buf, sizeof(buf)), "1023 B");
	assert_string_equal(rg_text_bytes(1536, buf, sizeof(buf)), "1.5 kB");
	assert_string_equal(rg_text_bytes(150 * 1024 * 1024, buf, sizeof(buf)), "150 MB");
	assert_string_equal(rg_text_bytes(INT64_MAX, buf, sizeof(buf)), "8192 PB");
	assert_string_equal(rg_text_ms(0, buf, sizeof(buf)), "0 ms");
	assert_string_equal(rg_text_ms(999, buf, sizeof(buf)), "999 ms");
	assert_string_equal(rg_text_ms(12400, buf, sizeof(buf)), "12.4 s");
	assert_string_equal(rg_text_ms(180000, buf, sizeof(buf)), "3 min");
	assert_string_equal(rg_text_ms(3 * 86400000, buf, sizeof(buf)), "3 days");
}

static char *
status_text(const char *json)
{
	json_t	   *status = json_loads(json, 0, NULL);
	char	   *text = NULL;
	size_t		size;
	FILE	   *out = open_memstream(&text, &size);

	assert_non_null(status);
	rg_status_write(status, out);
	fclose(out);
	json_decref(status);
	return text;
}

static void
test_sync_names_are_the_same_on_every_node(void **state)
{
	RgConfig	config = {.quorum = 2, .nnodes = 3};
	char		text[RG_SYNC_NAMES_MAX];

	(void) state;
	strcpy(config.nodes[0].name, "n1");
	strcpy(config.nodes[1].name, "2nd");
	strcpy(config.nodes[2].name, "n_3");
	rg_sync_names(&config, text, sizeof(text));
	assert_string_equal(text, "ANY 2 (n1, \"2nd\", n_3)");
}

static void
test_status_first_line_is_the_verdict(void **state)
{
	char	   *text;

	(void) state;
	text = status_text("{\"auto_failover\":{\"ready\":true,\"reason\":\"\"}}");
	assert_memory_equal(text, "automatic failover: ready\n", 26);
	free(text);
	text = status_text("{\"nodes\":[{\"name\":\"n1\",\"crashes\":2}]}");
	assert_non_null(strstr(text, "\nn1: crashed and came back by itself within crash_window: 2\n"));
	free(text);
	text = status_text("{\"auto_failover\":{\"ready\":true,\"reason\":\"\"},\"trouble\":\"disk full: n1: no room\"}");
	assert_memory_equal(text, "automatic failover: ready; but disk full: n1: no room\n", 54);
	free(text);
	text = status_text("{\"auto_failover\":{\"ready\":false,\"reason\":\"no standby streams\"}}");
	assert_memory_equal(text, "automatic failover: NO, because no standby streams\n", 51);
	free(text);
	text = status_text("{}");
	assert_memory_equal(text, "automatic failover: NO, because ", 32);
	free(text);
}

static char *
slots_text(const char *kept, const char *limit, const char *active, const char *upstream, const char *jobs)
{
	char		json[1000];

	snprintf(json, sizeof(json), "{\"leader\":\"n1\",\"nodes\":["
			 "{\"name\":\"n1\",\"disk\":{\"free_bytes\":21474836480},\"slots\":[{\"node\":\"n3\",\"active\":%s,\"kept_bytes\":%s,\"limit_bytes\":%s}]},"
			 "{\"name\":\"n2\",\"slots\":[{\"node\":\"n3\",\"active\":%s,\"kept_bytes\":%s,\"limit_bytes\":%s}]},"
			 "{\"name\":\"n3\",\"upstream_node\":%s}],\"jobs\":[%s]}",
			 active, kept, limit, active, kept, limit, upstream, jobs);
	return status_text(json);
}

/* A slot is told by the node that its owner streams from, and only when it holds much. */
static void
test_status_tells_of_slots_that_keep_much(void **state)
{
	char	   *text;

	(void) state;
	text = slots_text("1073741823", "10737418240", "true", "null", "");
	assert_null(strstr(text, "keeps"));
	free(text);
	text = slots_text("0", "0", "true", "null", "");
	assert_null(strstr(text, "keeps"));
	free(text);
	text = slots_text("1073741824", "10737418240", "false", "null", "");
	assert_non_null(strstr(text, "\n\nn1 keeps 1.0 GB of WAL for n3, 20.0 GB of its disk are free; at 10.0 GB that WAL is released, and n3 needs "
						   "an archive or is rebuilt: bring it back; if it is gone for ever: regent node remove n3 --lost\n"));
	assert_null(strstr(text, "n2 keeps"));
	free(text);
	text = slots_text("83886080", "104857600", "true", "null", "");
	assert_non_null(strstr(text, ": it streams, but receives slower than n1 writes: see its disk and the network; or give regent.slot_wal_limit more"));
	free(text);
	text = slots_text("83886080", "null", "true", "null", "");
	assert_null(strstr(text, "keeps"));
	free(text);
	text = slots_text("2147483648", "null", "false", "\"n2\"", "{\"node\":\"n3\",\"state\":\"running\",\"wal_bytes\":2147483648}");
	assert_non_null(strstr(text, "\nn2 keeps 2.0 GB of WAL for n3: it is being rebuilt, see: regent jobs\n"));
	assert_null(strstr(text, "n1 keeps"));
	assert_non_null(strstr(text, ", 2.0 GB of WAL kept for it"));
	free(text);
}

static void
test_status_shows_nodes_jobs_and_last_failover(void **state)
{
	char	   *text = status_text(
		"{\"cluster\":\"main\",\"term\":2,\"leader\":\"n2\",\"diagnosis\":\"healthy\",\"diagnosis_text\":\"well\","
		"\"phase\":\"steady\",\"durability\":\"sync\",\"quorum\":1,\"counted\":2,\"guarantee\":\"what it means\",\"wanted\":{\"durability\":\"sync\",\"quorum\":2},"
		"\"left_out\":[{\"node\":\"n9\",\"since\":\"then\",\"reason\":\"it is away\",\"counted\":false}],\"lease_ms\":5000,\"auto_failover\":{\"ready\":true},"
		"\"nodes\":[{\"name\":\"n1\",\"host\":\"10.0.0.11\",\"port\":5432,\"role\":\"unknown\",\"state\":\"rebuilding\","
		"\"gate\":\"unknown\",\"timeline\":null,\"priority\":100,\"weight\":1,\"last_seen_ms\":null,"
		"\"reason\":\"a copy runs\",\"candidate\":{\"eligible\":false,\"reason\":\"rebuild in progress\"},"
		"\"ssh\":\"host key changed\"},"
		"{\"name\":\"n2\",\"host\":\"10.0.0.12\",\"port\":5432,\"role\":\"primary\",\"state\":\"ok\",\"gate\":\"open\",\"lease_left_ms\":4600,"
		"\"timeline\":2,\"current_lsn\":\"0/5000060\",\"priority\":100,\"weight\":1,\"last_seen_ms\":120,\"reason\":\"\","
		"\"candidate\":{\"eligible\":false,\"reason\":\"it is the leader\"},\"ssh\":\"ready\"},"
		"{\"name\":\"n3\",\"host\":\"10.0.0.13\",\"port\":5432,\"role\":\"standby\",\"state\":\"ok\",\"gate\":\"closed\",\"lease_left_ms\":null,"
		"\"timeline\":2,\"replay_lsn\":\"0/5000000\",\"replay_lag_bytes\":96,\"replay_lag_ms\":3,\"priority\":100,"
		"\"weight\":1,\"last_seen_ms\":130,\"candidate\":{\"eligible\":true,\"reason\":\"\"},\"ssh\":\"ready\"}],"
		"\"jobs\":[{\"id\":7,\"kind\":\"rebuild\",\"node\":\"n1\",\"state\":\"running\",\"phase\":\"copy\","
		"\"bytes\":1048576,\"total\":10485760,\"percent\":10,\"message\":\"\"}],"
		"\"last_failover\":{\"term\":2,\"from\":\"n1\",\"to\":\"n2\",\"at\":\"2026-11-23T10:32:06.123Z\","
		"\"diagnosis\":\"primary crashed\",\"outage_ms\":105,\"phases\":{\"detect_ms\":2,\"fence_ms\":20,"
		"\"recruit_ms\":8,\"promote_ms\":60,\"rule_ms\":15,\"bound_ms\":0},\"given_up\":\"\"},"
		"\"last_switchover\":{\"ok\":true,\"from\":\"n2\",\"to\":\"n3\",\"gap_ms\":240,\"at\":\"2026-11-23T10:40:00.000Z\"}}");

	(void) state;
	assert_string_equal(text,
						"automatic failover: ready\n"
						"cluster main, term 2, leader n2, steady\n"
						"healthy: well\n"
						"durability sync, quorum 1 of 2, lease 5.0 s, of which n2 has 4.6 s left\nwhat it means\n"
						"n9 is left out since then, because it is away\nwanted: durability sync, quorum 2\n\n"
						"node  role     state       gate     tli  lsn         lag  delay    seen  prio  weight  address\n"
						"n1    unknown  rebuilding  unknown                                never   100       1  10.0.0.11:5432\n"
						"n2 *  primary  ok          open       2  0/5000060               120 ms   100       1  10.0.0.12:5432\n"
						"n3    standby  ok          closed     2  0/5000000  96 B   3 ms  130 ms   100       1  10.0.0.13:5432\n"
						"\n"
						"n1: a copy runs\n"
						"n1 would not be promoted: rebuild in progress\n"
						"n1: SSH: host key changed\n"
						"\n"
						"job 7: rebuild n1, running, copy, 10 %, 1.0 MB of 10.0 MB\n"
						"\n"
						"last failover: term 2, n1 to n2, 2026-11-23T10:32:06.123Z, primary crashed\n"
						"               105 ms (detect 2, fence 20, recruit 8, promote 60, rule 15)\n"
						"\n"
						"last switchover: n2 to n3, 2026-11-23T10:40:00.000Z, 240 ms without a primary\n");
	free(text);
}

/* One line of progress never wraps; what is not known is left out. */
static void
test_progress_is_one_line(void **state)
{
	json_t	   *job = json_pack("{s:I,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:i,s:I,s:I}", "id", (json_int_t) 7, "kind", "rebuild",
								"node", "n1", "state", "running", "phase", "delta", "source", "n2", "activity", "copying",
								"message", "", "bytes", (json_int_t) 48 * 1024 * 1024, "total", (json_int_t) 100 * 1024 * 1024,
								"percent", 48, "rate", (json_int_t) 11 * 1024 * 1024, "left_ms", (json_int_t) 4100);
	char		line[200] = "";
	FILE	   *out;

	(void) state;
	out = fmemopen(line, sizeof(line), "w");
	rg_job_line(job, 99, out);
	fclose(out);
	assert_string_equal(line, "n1: delta from n2  [#########...........]  48 %  48.0 MB of 100 MB  11.0 MB/s  0:05 left");
	out = fmemopen(line, sizeof(line), "w");
	rg_job_line(job, 30, out);
	fclose(out);
	assert_int_equal(strlen(line), 30);
	json_object_set_new(job, "activity", json_string("checkpoint"));
	json_object_set_new(job, "bytes", json_integer(0));
	json_object_set_new(job, "rate", json_integer(0));
	json_object_set_new(job, "left_ms", json_null());
	out = fmemopen(line, sizeof(line), "w");
	rg_job_line(job, 99, out);
	fclose(out);
	assert_string_equal(line, "n1: delta from n2, waiting for a checkpoint of the source");
	json_decref(job);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uri_write_lists_promotable_nodes_by_priority),
		cmocka_unit_test(test_uri_read_lists_nodes_with_weight),
		cmocka_unit_test(test_uri_odd_values_survive_libpq),
		cmocka_unit_test(test_haproxy_names_every_server_twice),
		cmocka_unit_test(test_haproxy_weights_are_scaled),
		cmocka_unit_test(test_haproxy_refuses_what_it_cannot_balance),
		cmocka_unit_test(test_haproxy_itself_accepts_the_file),
		cmocka_unit_test(test_conninfo_is_what_libpq_reads),
		cmocka_unit_test(test_passfile_finds_the_users_own_line),
		cmocka_unit_test(test_text_numbers),
		cmocka_unit_test(test_sync_names_are_the_same_on_every_node),
		cmocka_unit_test(test_status_first_line_is_the_verdict),
		cmocka_unit_test(test_status_tells_of_slots_that_keep_much),
		cmocka_unit_test(test_status_shows_nodes_jobs_and_last_failover),
		cmocka_unit_test(test_progress_is_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
