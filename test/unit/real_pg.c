/*
 * real_pg.c
 *	  watchdog/io/pg against a real server; started by test/unit/real.
 *
 * Usage: real_pg DIRECTORY PORT PG_CTL.  The script has made a server in
 * DIRECTORY/data with max_connections = 5, roles and pg_hba.conf for these
 * scenarios.  Each prints "ok NAME" or "not ok NAME".
 */
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "io/pg.h"

static struct event_base *base;
static const char *dir;
static const char *pg_ctl;
static int	port;
static int	failures;

typedef struct Seen
{
	int			calls;
	int64_t		at_us;
	RgPgFailure failure;
	int			rows;
	char		value[256];
} Seen;

static void
check(const char *name, bool is_good, const Seen *seen)
{
	printf("%s %s", is_good ? "ok" : "not ok", name);
	if (seen != NULL)
		printf(" - why %d, sqlstate \"%s\", file \"%s\": %s%s%s", (int) seen->failure.why, seen->failure.sqlstate,
			   seen->failure.source_file, seen->failure.message, seen->failure.hint[0] != '\0' ? " | " : "",
			   seen->failure.hint);
	printf("\n");
	fflush(stdout);
	if (!is_good)
		failures++;
}

static void
on_state(void *arg, RgPg *pg, const RgPgFailure *failure)
{
	Seen	   *s = arg;

	(void) pg;
	s->calls++;
	s->at_us = rg_clock_now_us();
	s->failure = *failure;
}

static void
on_result(void *arg, const PGresult *res, const RgPgFailure *failure)
{
	Seen	   *s = arg;

	s->calls++;
	s->at_us = rg_clock_now_us();
	s->failure = *failure;
	s->rows = res != NULL ? PQntuples(res) : -1;
	if (res != NULL && PQntuples(res) > 0 && PQnfields(res) > 0)
		snprintf(s->value, sizeof(s->value), "%s", PQgetvalue(res, 0, 0));
}

static void
wait_for(const Seen *s, int ms)
{
	int64_t		end = rg_clock_now_ms() + ms;
	int			before = s != NULL ? s->calls : 0;

	while ((s == NULL || s->calls == before) && rg_clock_now_ms() < end)
	{
		event_base_loopexit(base, &(struct timeval) {.tv_usec = 20000});
		event_base_loop(base, EVLOOP_ONCE);
	}
}

static RgPg *
open_session(Seen *s, const char *user, const char *dbname, const char *sslmode, bool over_socket)
{
	RgPgParams	p = {.port = port};
	RgPg	   *pg;

	snprintf(p.host, sizeof(p.host), "%s", over_socket ? dir : "127.0.0.1");
	snprintf(p.user, sizeof(p.user), "%s", user);
	snprintf(p.dbname, sizeof(p.dbname), "%s", dbname);
	snprintf(p.sslmode, sizeof(p.sslmode), "%s", sslmode);
	snprintf(p.passfile, sizeof(p.passfile), "%s/passfile", dir);
	snprintf(p.application_name, sizeof(p.application_name), "real_pg");
	memset(s, 0, sizeof(*s));
	pg = rg_pg_new(base, &p, on_state, s);
	rg_pg_connect(pg, 2000);
	wait_for(s, 3000);
	return pg;
}

static void
expect(const char *name, const char *user, const char *dbname, const char *sslmode, RgPgWhy why, const char *sqlstate)
{
	Seen		s;
	RgPg	   *pg = open_session(&s, user, dbname, sslmode, false);

	check(name, s.calls == 1 && s.failure.why == why && strcmp(s.failure.sqlstate, sqlstate) == 0, &s);
	rg_pg_free(pg);
}

static void
exec_wait(RgPg *pg, Seen *r, const char *sql, const char *param, int deadline_ms)
{
	memset(r, 0, sizeof(*r));
	if (rg_pg_exec(pg, sql, param != NULL, &param, deadline_ms, on_result, r) != 0)
		printf("# exec refused: %s\n", sql);
	else
		wait_for(r, deadline_ms + 1000);
}

static void
run(const char *command)
{
	char		line[2048];

	snprintf(line, sizeof(line), "%s -D %s/data -l %s/server.log %s > %s/pg_ctl.out 2>&1", pg_ctl, dir, dir, command, dir);
	if (system(line) != 0)
		printf("# failed: %s\n", line);
}

static pid_t
postmaster(void)
{
	char		path[1024];
	int			pid = 0;
	FILE	   *f;

	snprintf(path, sizeof(path), "%s/data/postmaster.pid", dir);
	f = fopen(path, "r");
	if (f == NULL || fscanf(f, "%d", &pid) != 1)
		pid = 0;
	if (f != NULL)
		fclose(f);
	return pid;
}

static void
test_statements(void)
{
	Seen		s;
	Seen		r;
	Seen		queued[RG_PG_QUEUE_MAX];
	RgPg	   *pg = open_session(&s, "plain", "postgres", "prefer", false);
	const char *words[] = {"one"};
	int64_t		start;
	int			n = 0;

	exec_wait(pg, &r, "SELECT $1::text || '!'", "a 'quoted' \\ word", 1000);
	check("parameter and result", r.rows == 1 && strcmp(r.value, "a 'quoted' \\ word!") == 0, NULL);
	exec_wait(pg, &r, "SELECT coalesce($1::text, 'null')", NULL, 1000);
	check("a missing parameter is the server's error", strcmp(r.failure.sqlstate, "08P01") == 0 ||
		  strcmp(r.failure.sqlstate, "42P02") == 0, &r);
	exec_wait(pg, &r, "SELECT 1/0", NULL, 1000);
	check("an SQL error leaves the session open", r.failure.why == RG_PG_SERVER &&
		  strcmp(r.failure.sqlstate, "22012") == 0 && rg_pg_is_open(pg), &r);
	exec_wait(pg, &r, "SELECT 1; SELECT 2", NULL, 1000);
	check("two statements in one are refused", strcmp(r.failure.sqlstate, "42601") == 0, &r);
	exec_wait(pg, &r, "COPY pg_class TO STDOUT", NULL, 1000);
	check("COPY closes the session", r.failure.why == RG_PG_OTHER && !rg_pg_is_open(pg), &r);

	rg_pg_connect(pg, 2000);
	wait_for(&s, 3000);
	memset(queued, 0, sizeof(queued));
	for (int i = 0; i < RG_PG_QUEUE_MAX; i++)
		n += rg_pg_exec(pg, "SELECT $1::text || pg_sleep(0.01)::text", 1, words, 2000, on_result, &queued[i]) == 0;
	check("queue takes its maximum", n == RG_PG_QUEUE_MAX &&
		  rg_pg_exec(pg, "SELECT 1", 0, NULL, 1000, on_result, &r) == RGE_LIMIT, NULL);
	wait_for(&queued[RG_PG_QUEUE_MAX - 1], 2000);
	for (int i = 0; i < RG_PG_QUEUE_MAX; i++)
		n -= queued[i].calls == 1 && queued[i].rows == 1;
	check("and each has its answer", n == 0 && !rg_pg_is_busy(pg), NULL);

	/* a big answer and a big question */
	exec_wait(pg, &r, "SELECT repeat('x', 200) FROM generate_series(1, 20000)", NULL, 5000);
	check("4 MB of answer", r.rows == 20000, NULL);
	{
		char	   *big = malloc(4000001);

		memset(big, 'y', 4000000);
		big[4000000] = '\0';
		exec_wait(pg, &r, "SELECT length($1::text)::text", big, 5000);
		check("4 MB of question", strcmp(r.value, "4000000") == 0, NULL);
		free(big);
	}

	start = rg_clock_now_us();
	for (int i = 0; i < 1000; i++)
	{
		memset(&r, 0, sizeof(r));
		rg_pg_exec(pg, "SELECT 1", 0, NULL, 1000, on_result, &r);
		while (r.calls == 0)
			event_base_loop(base, EVLOOP_ONCE);
	}
	printf("# a statement: %.3f ms\n", (double) (rg_clock_now_us() - start) / 1000000);

	s.calls = 0;
	start = rg_clock_now_us();
	memset(queued, 0, sizeof(queued));
	rg_pg_exec(pg, "SELECT pg_sleep(10)", 0, NULL, 300, on_result, &queued[0]);
	rg_pg_exec(pg, "SELECT 2", 0, NULL, 100, on_result, &queued[1]);
	rg_pg_exec(pg, "SELECT 3", 0, NULL, 5000, on_result, &queued[2]);
	wait_for(&queued[0], 5000);
	check("a statement past its deadline closes the session", queued[0].failure.why == RG_PG_SILENT &&
		  s.calls == 1 && s.failure.why == RG_PG_SILENT && queued[0].at_us - start >= 295000, &queued[0]);
	check("one that waited past its own fails alone before", queued[1].failure.why == RG_PG_SILENT &&
		  queued[1].at_us < queued[0].at_us, &queued[1]);
	check("one that waited fails with the session", queued[2].calls == 1 && queued[2].rows == -1, &queued[2]);
	rg_pg_free(pg);
}

static void
test_ends(void)
{
	Seen		s;
	Seen		spare;
	Seen		r;
	RgPg	   *pg = open_session(&s, "plain", "postgres", "prefer", false);
	RgPg	   *other = open_session(&spare, "plain", "postgres", "disable", true);
	int64_t		start;
	pid_t		pid;

	check("over the socket directory", spare.failure.why == RG_PG_FINE, &spare);

	/* ended by an administrator, idle and busy */
	exec_wait(pg, &r, "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE application_name = 'real_pg'"
			  " AND pid <> pg_backend_pid()", NULL, 1000);
	wait_for(spare.calls == 1 ? &spare : NULL, 1000);
	check("terminated while idle: seen, with the reason", spare.failure.why == RG_PG_CLOSED &&
		  strcmp(spare.failure.sqlstate, "57P01") == 0, &spare);
	rg_pg_connect(other, 2000);
	wait_for(&spare, 2000);
	memset(&r, 0, sizeof(r));
	rg_pg_exec(other, "SELECT pg_terminate_backend(pg_backend_pid())", 0, NULL, 2000, on_result, &r);
	wait_for(&spare, 2000);
	check("terminated while busy", r.failure.why == RG_PG_CLOSED && strcmp(r.failure.sqlstate, "57P01") == 0 &&
		  strcmp(spare.failure.sqlstate, "57P01") == 0, &r);

	/* a backend is killed: its own client sees a closed socket, others hear of the crash */
	rg_pg_connect(other, 2000);
	wait_for(&spare, 2000);
	exec_wait(other, &r, "SELECT pg_backend_pid()::text", NULL, 1000);
	s.calls = spare.calls = 0;
	kill((pid_t) atoi(r.value), SIGKILL);
	wait_for(&spare, 2000);
	check("backend killed: closed without a word", spare.failure.why == RG_PG_CLOSED && spare.failure.sqlstate[0] == '\0', &spare);
	if (s.calls == 0)
		wait_for(&s, 2000);
	check("the others hear why", s.failure.why == RG_PG_CLOSED && strcmp(s.failure.sqlstate, "57P02") == 0, &s);
	for (int i = 0; i < 50 && !rg_pg_is_open(pg); i++)
	{
		rg_pg_connect(pg, 2000);
		wait_for(&s, 2000);
		if (!rg_pg_is_open(pg))
			usleep(100000);
	}
	rg_pg_connect(other, 2000);
	wait_for(&spare, 2000);

	/* smart shutdown: sessions live on, new ones are told */
	run("-W -m smart stop");
	expect("shutting down", "plain", "postgres", "prefer", RG_PG_SERVER, "57P03");
	s.calls = 0;
	run("-m fast stop");
	wait_for(NULL, 300);
	check("planned stop: 57P01", s.failure.why == RG_PG_CLOSED && strcmp(s.failure.sqlstate, "57P01") == 0, &s);
	expect("nobody listens", "plain", "postgres", "prefer", RG_PG_REFUSED, "");
	rg_pg_free(other);
	other = open_session(&spare, "plain", "postgres", "prefer", true);
	check("nobody listens on the socket", spare.failure.why == RG_PG_REFUSED, &spare);

	run("-w start");
	rg_pg_connect(pg, 2000);
	rg_pg_connect(other, 2000);
	wait_for(NULL, 500);
	check("both back", rg_pg_is_open(pg) && rg_pg_is_open(other), NULL);

	/* an immediate stop says so, too, as a warning: or it would look like a crash */
	s.calls = spare.calls = 0;
	memset(&r, 0, sizeof(r));
	rg_pg_exec(other, "SELECT pg_sleep(5)", 0, NULL, 9000, on_result, &r);
	wait_for(NULL, 100);
	run("-m immediate stop");
	if (s.calls == 0)
		wait_for(&s, 2000);
	check("immediate stop, idle: 57P01", s.failure.why == RG_PG_CLOSED && strcmp(s.failure.sqlstate, "57P01") == 0, &s);
	if (spare.calls == 0)
		wait_for(&spare, 2000);
	check("immediate stop, busy: 57P01", spare.failure.why == RG_PG_CLOSED && strcmp(spare.failure.sqlstate, "57P01") == 0, &spare);
	run("-w start");
	rg_pg_connect(pg, 2000);
	rg_pg_connect(other, 2000);
	wait_for(NULL, 500);
	check("both back again", rg_pg_is_open(pg) && rg_pg_is_open(other), NULL);
	memset(&r, 0, sizeof(r));
	rg_pg_exec(other, "SELECT pg_sleep(5)", 0, NULL, 9000, on_result, &r);
	wait_for(NULL, 100);
	pid = postmaster();
	s.calls = 0;
	start = rg_clock_now_us();
	kill(pid, SIGKILL);
	wait_for(&s, 2000);
	printf("# postmaster killed: seen after %.1f ms by an idle session\n", (double) (s.at_us - start) / 1000);
	check("postmaster killed: idle session", s.failure.why == RG_PG_CLOSED, &s);
	expect("after that", "plain", "postgres", "prefer", RG_PG_REFUSED, "");
	rg_pg_free(pg);
	rg_pg_free(other);
}

int
main(int argc, char **argv)
{
	Seen		s[8];
	RgPg	   *pg[8];
	int			n;
	struct event_config *cfg = event_config_new();

	if (argc != 4)
		return 2;
	dir = argv[1];
	port = atoi(argv[2]);
	pg_ctl = argv[3];
	event_config_set_flag(cfg, EVENT_BASE_FLAG_PRECISE_TIMER);
	base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	signal(SIGPIPE, SIG_IGN);

	expect("connects", "plain", "postgres", "prefer", RG_PG_FINE, "");
	expect("password from the passfile", "known", "postgres", "prefer", RG_PG_FINE, "");
	expect("wrong password", "wrong", "postgres", "prefer", RG_PG_SERVER, "28P01");
	expect("no password", "forgotten", "postgres", "prefer", RG_PG_SERVER, "28P01");
	expect("no such role", "nobody_here", "postgres", "prefer", RG_PG_SERVER, "28000");
	expect("refused by pg_hba.conf", "rejected", "postgres", "prefer", RG_PG_SERVER, "28000");
	expect("no such database", "plain", "missing", "prefer", RG_PG_SERVER, "3D000");
	expect("TLS wanted, not offered", "plain", "postgres", "require", RG_PG_TLS, "");

	/* all slots taken: alive */
	for (n = 0; n < 8; n++)
	{
		pg[n] = open_session(&s[n], "plain", "postgres", "prefer", false);
		if (s[n].failure.why != RG_PG_FINE)
			break;
	}
	check("saturated", n < 8 && s[n].failure.why == RG_PG_SERVER && strcmp(s[n].failure.sqlstate, "53300") == 0, &s[n < 8 ? n : 7]);
	for (int i = 0; i <= n && i < 8; i++)
		rg_pg_free(pg[i]);
	usleep(200000);

	test_statements();
	test_ends();
	event_base_free(base);
	libevent_global_shutdown();
	printf("# %d failed\n", failures);
	return failures == 0 ? 0 : 1;
}
