/*
 * t_pg.c
 *	  watchdog/io/pg: what a failure means, and sessions with servers that
 *	  refuse, say nothing, or go in the middle.
 *
 * The server here is a few bytes of the protocol from a listening socket;
 * test/unit/real does the same with a real one.
 */
#include "helpers.h"

#include "base/err.h"
#include "io/pg.h"
#include "io/pg_failure.h"

static struct event_base *base;
static int	listener;
static int	port;

typedef struct Seen
{
	int			calls;
	RgPgFailure failure;
	int			rows;
	RgPg	   *free_this;		/* what a callback does */
	RgPg	   *close_this;
	RgPg	   *connect_this;
	RgPg	   *exec_this;
} Seen;

static int
set_up(void **state)
{
	(void) state;
	base = make_base();
	listener = listen_somewhere(&port);
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	if (listener >= 0)
		close(listener);
	event_base_free(base);
	return 0;
}

static void on_result(void *arg, const PGresult *res, const RgPgFailure *failure);

static void
act(Seen *s)
{
	static Seen ignored;

	if (s->close_this != NULL)
		rg_pg_close(s->close_this);
	if (s->connect_this != NULL)
		rg_pg_connect(s->connect_this, 300);
	if (s->exec_this != NULL)
		(void) rg_pg_exec(s->exec_this, "SELECT 'again'", 0, NULL, 300, on_result, &ignored);
	if (s->free_this != NULL)
		rg_pg_free(s->free_this);
	s->free_this = s->close_this = s->connect_this = s->exec_this = NULL;
}

static void
on_state(void *arg, RgPg *pg, const RgPgFailure *failure)
{
	Seen	   *s = arg;

	(void) pg;
	s->calls++;
	s->failure = *failure;
	act(s);
}

static void
on_result(void *arg, const PGresult *res, const RgPgFailure *failure)
{
	Seen	   *s = arg;

	s->calls++;
	s->failure = *failure;
	s->rows = res != NULL ? PQntuples(res) : -1;
	act(s);
}

static RgPg *
start(Seen *s, int to_port, int deadline_ms)
{
	RgPgParams	p = {.port = to_port};
	RgPg	   *pg;

	strcpy(p.host, "127.0.0.1");
	strcpy(p.user, "u");
	strcpy(p.dbname, "d");
	strcpy(p.sslmode, "disable");
	strcpy(p.passfile, "/nonexistent");
	memset(s, 0, sizeof(*s));
	pg = rg_pg_new(base, &p, on_state, s);
	assert_non_null(pg);
	rg_pg_connect(pg, deadline_ms);
	assert_true(rg_pg_is_connecting(pg));
	return pg;
}

/* --- the server's side --- */

static int
accept_one(void)
{
	int			fd;

	loop_for(base, 20);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	return fd;
}

static void
put(int fd, const void *data, size_t len)
{
	assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), (ssize_t) len);
}

#define PUT(fd, text) put((fd), (text), sizeof(text) - 1)

/* Lets the client in. */
static int
accept_login(void)
{
	int			fd = accept_one();
	char		buf[1000];

	loop_for(base, 20);
	assert_true(recv(fd, buf, sizeof(buf), 0) > 8);
	PUT(fd, "R\0\0\0\x08\0\0\0\0" "Z\0\0\0\x05I");
	return fd;
}

/* E: an error, N: a notice */
static void
put_message(int fd, char type, const char *severity, const char *sqlstate, const char *file, const char *message)
{
	char		body[512] = {type};
	size_t		len = 5;

#define FIELD(code, text) len += (size_t) sprintf(body + len, "%c%s", (code), (text)) + 1
	FIELD('S', severity);
	FIELD('V', severity);
	FIELD('C', sqlstate);
	FIELD('M', message);
	FIELD('F', file);
	FIELD('L', "1");
	FIELD('R', "f");
#undef FIELD
	body[len++] = '\0';
	body[3] = (char) ((len - 1) >> 8);
	body[4] = (char) ((len - 1) & 255);

	/* at once, as a server does: a second part would be lost if our end comes by a reset */
	put(fd, body, len);
}

static void
put_error(int fd, const char *severity, const char *sqlstate, const char *file, const char *message)
{
	put_message(fd, 'E', severity, sqlstate, file, message);
}

/* The answer to SELECT 1. */
static void
put_answer(int fd)
{
	PUT(fd, "1\0\0\0\x04" "2\0\0\0\x04"
		"T\0\0\0\x1a\0\x01x\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0"
		"D\0\0\0\x0b\0\x01\0\0\0\x01" "1" "C\0\0\0\x0dSELECT 1\0" "Z\0\0\0\x05I");
}

/* --- what texts mean --- */

static void
test_connect_failures_are_told_apart(void **state)
{
	static const struct
	{
		const char *text;
		RgPgWhy		why;
		const char *sqlstate;
		const char *file;
		const char *message;
	}			cases[] = {
		{"connection to server at \"10.0.0.1\", port 5432 failed: Connection refused\n\tIs the server running on that host "
			"and accepting TCP/IP connections?\n", RG_PG_REFUSED, "", "", "Connection refused"},
		{"connection to server on socket \"/tmp/.s.PGSQL.5432\" failed: No such file or directory\n\tIs it?\n",
			RG_PG_REFUSED, "", "", "No such file or directory"},
		{"connection to server at \"h\" (10.0.0.1), port 5432 failed: No route to host\n", RG_PG_UNREACHABLE, "", "", "No route to host"},
		{"connection to server at \"h\", port 1 failed: Connection timed out\n", RG_PG_SILENT, "", "", "Connection timed out"},
		{"connection to server at \"h\", port 1 failed: server closed the connection unexpectedly\n\tThis probably\n",
			RG_PG_CLOSED, "", "", "server closed the connection unexpectedly"},
		{"connection to server at \"h\", port 1 failed: could not receive data from server: Connection reset by peer\n",
			RG_PG_CLOSED, "", "", "could not receive data from server: Connection reset by peer"},
		{"connection to server at \"h\", port 1 failed: FATAL:  57P03: the database system is starting up\n"
			"LOCATION:  ProcessStartupPacket, postmaster.c:2392\n", RG_PG_SERVER, "57P03", "postmaster.c",
			"the database system is starting up"},
		{"connection to server at \"h\", port 1 failed: FATAL:  53300: sorry, too many clients already\nLOCATION:  InitProcess, proc.c:361\n",
			RG_PG_SERVER, "53300", "proc.c", "sorry, too many clients already"},
		/* another language: code and file are still there */
		{"connection to server at \"h\", port 1 failed: SCHWERWIEGEND:  28P01: Passwort-Authentifizierung fehlgeschlagen\n"
			"LOCATION:  auth_failed, auth.c:326\n", RG_PG_SERVER, "28P01", "auth.c", "Passwort-Authentifizierung fehlgeschlagen"},
		/* sslmode = prefer tries twice: the last word counts */
		{"connection to server at \"h\", port 1 failed: FATAL:  28000: no entry\nLOCATION:  x, auth.c:1\n"
			"connection to server at \"h\", port 1 failed: Connection refused\n\tIs it?\n", RG_PG_REFUSED, "", "", "Connection refused"},
		{"connection to server at \"h\", port 1 failed: server does not support SSL, but SSL was required\n",
			RG_PG_TLS, "", "", "server does not support SSL, but SSL was required"},
		{"connection to server at \"h\", port 1 failed: root certificate file \"/x/root.crt\" does not exist\nEither provide\n",
			RG_PG_TLS, "", "", "root certificate file \"/x/root.crt\" does not exist"},
		{"connection to server at \"h\", port 1 failed: could not open certificate file \"/x\": No such file or directory\n",
			RG_PG_TLS, "", "", "could not open certificate file \"/x\": No such file or directory"},
		{"connection to server at \"h\", port 1 failed: SSL error: certificate verify failed\n", RG_PG_TLS, "", "",
			"SSL error: certificate verify failed"},
		{"connection to server at \"h\", port 1 failed: SSL SYSCALL error: EOF detected\n", RG_PG_CLOSED, "", "",
			"SSL SYSCALL error: EOF detected"},
		{"connection to server at \"h\", port 1 failed: could not fork new process for connection: Cannot allocate memory\n",
			RG_PG_SERVER, "", "", "could not fork new process for connection: Cannot allocate memory"},
		{"connection to server at \"h\", port 1 failed: authentication method 10 not supported\n", RG_PG_SERVER, "28000", "",
			"authentication method 10 not supported"},
		{"connection to server at \"h\", port 1 failed: expected authentication request from server, but received H\n",
			RG_PG_OTHER, "", "", "expected authentication request from server, but received H"},
		{"out of memory\n", RG_PG_OTHER, "", "", "out of memory"},
		{"", RG_PG_OTHER, "", "", ""},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		RgPgFailure f;

		rg_pg_failure_connect(&f, cases[i].text);
		assert_string_equal(f.message, cases[i].message);
		assert_int_equal(f.why, cases[i].why);
		assert_string_equal(f.sqlstate, cases[i].sqlstate);
		assert_string_equal(f.source_file, cases[i].file);
	}
}

static void
test_messages_are_one_short_line(void **state)
{
	RgPgFailure f;
	char		text[2000];

	(void) state;
	strcpy(text, "FATAL:  XX000: a\tb\x1b[0m ");
	memset(text + strlen(text), 'y', 1500);
	text[1500] = '\0';
	rg_pg_failure_connect(&f, text);
	assert_string_equal(f.sqlstate, "XX000");
	assert_true(strlen(f.message) < sizeof(f.message));
	assert_memory_equal(f.message, "a b [0m yyy", 11);
	rg_pg_failure_set(&f, RG_PG_OTHER, "%s", "one\ntwo");
	assert_string_equal(f.message, "one");
}

/* Before the login a server speaks in the encoding of its host, and long messages are cut. */
static void
test_messages_are_valid_utf8(void **state)
{
	RgPgFailure f;
	char		text[2000];

	(void) state;
	rg_pg_failure_connect(&f, "FATAL:  28P01: Passwort-Authentifizierung f\xfcr Benutzer \"regent\" fehlgeschlagen\nHINT:  f\xfcr\n");
	assert_string_equal(f.sqlstate, "28P01");
	assert_string_equal(f.message, "Passwort-Authentifizierung f?r Benutzer \"regent\" fehlgeschlagen");
	assert_string_equal(f.hint, "f?r");
	for (int shift = 0; shift < 2; shift++)
	{
		strcpy(text, shift ? "FATAL:  28P01: x" : "FATAL:  28P01: ");
		while (strlen(text) + 3 < sizeof(text))
			strcat(text, "\xd0\xb6");
		rg_pg_failure_connect(&f, text);
		assert_int_equal(strlen(f.message) % 2, shift);
		assert_true(strlen(f.message) >= sizeof(f.message) - 2);
	}
}

static void
test_the_servers_hint_is_kept_and_ours_fills_in(void **state)
{
	RgPgFailure f;
	RgPgParams	p = {.user = "regent", .passfile = "/etc/regent/passfile"};

	(void) state;
	rg_pg_failure_connect(&f, "FATAL:  53300: too many\nDETAIL:  d\nHINT:  theirs\nLOCATION:  f, x.c:1\n");
	assert_string_equal(f.hint, "theirs");
	rg_pg_failure_add_hint(&f, &p);
	assert_string_equal(f.hint, "theirs");
	rg_pg_failure_connect(&f, "FATAL:  28P01: no\n");
	rg_pg_failure_add_hint(&f, &p);
	assert_non_null(strstr(f.hint, "/etc/regent/passfile"));
}

/* --- sessions --- */

static void
test_refused(void **state)
{
	Seen		s;
	RgPg	   *pg;

	(void) state;
	close(listener);
	listener = -1;
	pg = start(&s, port, 1000);
	assert_int_equal(s.calls, 0);	/* never from inside the call */
	assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
	assert_int_equal(s.failure.why, RG_PG_REFUSED);
	assert_string_equal(s.failure.message, "Connection refused");
	rg_pg_free(pg);
}

static void
test_accepts_and_says_nothing(void **state)
{
	Seen		s;
	int64_t		began = rg_clock_now_ms();
	RgPg	   *pg = start(&s, port, 200);

	(void) state;
	assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
	assert_int_equal(s.failure.why, RG_PG_SILENT);
	assert_string_equal(s.failure.message, "connected, but no answer within 200 ms");
	assert_true(rg_clock_now_ms() - began >= 195);
	assert_false(rg_pg_is_connecting(pg));
	rg_pg_free(pg);
}

static void
test_no_address(void **state)
{
	Seen		s = {0};
	RgPgParams	p = {.port = 5432, .host = "db1.example", .user = "u", .dbname = "d"};
	RgPg	   *pg = rg_pg_new(base, &p, on_state, &s);

	(void) state;
	rg_pg_connect(pg, 1000);
	assert_int_equal(s.calls, 0);
	assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
	assert_int_equal(s.failure.why, RG_PG_UNREACHABLE);
	assert_non_null(strstr(s.failure.message, "db1.example"));

	/* with an address beside the name it is used */
	p.port = port;
	strcpy(p.hostaddr, "127.0.0.1");
	strcpy(p.sslmode, "disable");
	rg_pg_set_params(pg, &p);
	rg_pg_connect(pg, 1000);
	close(accept_login());
	assert_true(loop_until(base, &s.calls, 2, PATIENCE_MS));
	rg_pg_free(pg);
}

static void
test_closed_in_the_middle_of_the_login(void **state)
{
	Seen		s;
	RgPg	   *pg = start(&s, port, 1000);
	int			fd = accept_one();

	(void) state;
	PUT(fd, "R\0\0");
	close(fd);
	assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
	assert_int_equal(s.failure.why, RG_PG_CLOSED);
	rg_pg_free(pg);

	pg = start(&s, port, 1000);
	close_with_reset(accept_one());
	assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
	assert_int_equal(s.failure.why, RG_PG_CLOSED);
	rg_pg_free(pg);
}

static void
test_something_else_listens_there(void **state)
{
	Seen		s;
	RgPg	   *pg = start(&s, port, 1000);
	int			fd = accept_one();

	(void) state;
	PUT(fd, "HTTP/1.1 400 Bad Request\r\n\r\n");
	assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
	assert_int_equal(s.failure.why, RG_PG_OTHER);
	assert_string_equal(s.failure.sqlstate, "");
	close(fd);
	rg_pg_free(pg);
}

static void
test_refused_by_the_server(void **state)
{
	Seen		s;
	RgPg	   *pg = start(&s, port, 1000);
	int			fd = accept_one();

	(void) state;
	loop_for(base, 20);
	put_error(fd, "FATAL", "57P03", "postmaster.c", "the database system is starting up");
	close(fd);
	assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
	assert_int_equal(s.failure.why, RG_PG_SERVER);
	assert_string_equal(s.failure.sqlstate, "57P03");
	assert_string_equal(s.failure.source_file, "postmaster.c");
	assert_string_equal(s.failure.message, "the database system is starting up");
	rg_pg_free(pg);

	/* a password is wanted and there is none: alive, cannot log in */
	pg = start(&s, port, 1000);
	fd = accept_one();
	PUT(fd, "R\0\0\0\x08\0\0\0\x03");
	assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
	assert_int_equal(s.failure.why, RG_PG_SERVER);
	assert_string_equal(s.failure.sqlstate, "28P01");
	assert_non_null(strstr(s.failure.hint, "/nonexistent"));
	close(fd);
	rg_pg_free(pg);
}

static void
test_answer_error_and_end(void **state)
{
	Seen		s;
	Seen		r = {0};
	RgPg	   *pg = start(&s, port, 1000);
	int			fd = accept_login();

	(void) state;
	assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
	assert_int_equal(s.failure.why, RG_PG_FINE);
	assert_true(rg_pg_is_open(pg));
	assert_int_equal(rg_pg_exec(pg, "SELECT 1", 0, NULL, 1000, on_result, &r), 0);
	assert_true(rg_pg_is_busy(pg));
	put_answer(fd);
	assert_true(loop_until(base, &r.calls, 1, PATIENCE_MS));
	assert_int_equal(r.rows, 1);
	assert_int_equal(r.failure.why, RG_PG_FINE);
	assert_false(rg_pg_is_busy(pg));

	/* an error leaves it open */
	assert_int_equal(rg_pg_exec(pg, "SELECT 1", 0, NULL, 1000, on_result, &r), 0);
	put_error(fd, "ERROR", "RG004", "control.c", "stale term");
	PUT(fd, "Z\0\0\0\x05I");
	assert_true(loop_until(base, &r.calls, 2, PATIENCE_MS));
	assert_int_equal(r.failure.why, RG_PG_SERVER);
	assert_string_equal(r.failure.sqlstate, "RG004");
	assert_int_equal(r.rows, -1);
	assert_true(rg_pg_is_open(pg));

	/* the end, with a last word, while nothing runs: seen at once */
	put_error(fd, "FATAL", "57P01", "be-secure.c", "terminating connection due to unexpected postmaster exit");
	close(fd);
	assert_true(loop_until(base, &s.calls, 2, PATIENCE_MS));
	assert_int_equal(s.failure.why, RG_PG_CLOSED);
	assert_string_equal(s.failure.sqlstate, "57P01");
	assert_string_equal(s.failure.source_file, "be-secure.c");
	assert_false(rg_pg_is_open(pg));
	assert_int_equal(rg_pg_exec(pg, "SELECT 1", 0, NULL, 1000, on_result, &r), RGE_STATE);
	assert_int_equal(r.calls, 2);
	rg_pg_free(pg);
}

static void
test_end_while_a_statement_runs(void **state)
{
	Seen		s;
	Seen		r = {0};
	Seen		waiting = {0};
	RgPg	   *pg = start(&s, port, 1000);
	int			fd = accept_login();

	(void) state;
	assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
	rg_pg_exec(pg, "SELECT 1", 0, NULL, 5000, on_result, &r);
	rg_pg_exec(pg, "SELECT 2", 0, NULL, 5000, on_result, &waiting);
	loop_for(base, 20);
	put_error(fd, "FATAL", "57P01", "postgres.c", "terminating connection due to administrator command");
	close(fd);
	assert_true(loop_until(base, &s.calls, 2, PATIENCE_MS));
	assert_int_equal(r.calls, 1);
	assert_int_equal(r.failure.why, RG_PG_CLOSED);
	assert_string_equal(r.failure.sqlstate, "57P01");
	assert_int_equal(waiting.calls, 1);
	rg_pg_free(pg);

	/* the answer came whole before the end: it counts */
	memset(&r, 0, sizeof(r));
	pg = start(&s, port, 1000);
	fd = accept_login();
	assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
	rg_pg_exec(pg, "SELECT 1", 0, NULL, 5000, on_result, &r);
	loop_for(base, 20);
	put_answer(fd);
	close(fd);
	assert_true(loop_until(base, &s.calls, 2, PATIENCE_MS));
	assert_int_equal(r.calls, 1);
	assert_int_equal(r.rows, 1);
	rg_pg_free(pg);
}

/* A late answer must not be taken for the answer to a later question. */
static void
test_deadline_of_a_statement_closes_the_session(void **state)
{
	Seen		s;
	Seen		r = {0};
	Seen		early = {0};
	RgPg	   *pg = start(&s, port, 1000);
	int			fd = accept_login();
	int64_t		began;
	char		byte[2000];

	(void) state;
	assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
	began = rg_clock_now_ms();
	rg_pg_exec(pg, "SELECT 1", 0, NULL, 150, on_result, &r);
	rg_pg_exec(pg, "SELECT 2", 0, NULL, 50, on_result, &early);
	assert_true(loop_until(base, &early.calls, 1, PATIENCE_MS));
	assert_int_equal(early.failure.why, RG_PG_SILENT);
	assert_true(rg_pg_is_open(pg));
	assert_true(loop_until(base, &r.calls, 1, PATIENCE_MS));
	assert_true(rg_clock_now_ms() - began >= 145);
	assert_int_equal(r.failure.why, RG_PG_SILENT);
	assert_int_equal(s.calls, 2);
	assert_int_equal(s.failure.why, RG_PG_SILENT);
	assert_false(rg_pg_is_open(pg));
	while (recv(fd, byte, sizeof(byte), 0) > 0)
		;						/* it ends: our side is closed */
	close(fd);
	rg_pg_free(pg);
}

static void
test_queue_is_limited_and_close_tells_all(void **state)
{
	Seen		s;
	Seen		r = {0};
	RgPg	   *pg = start(&s, port, 1000);
	int			fd = accept_login();

	(void) state;
	assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
	for (int i = 0; i < RG_PG_QUEUE_MAX; i++)
		assert_int_equal(rg_pg_exec(pg, "SELECT 1", 0, NULL, 5000, on_result, &r), 0);
	assert_int_equal(rg_pg_exec(pg, "SELECT 1", 0, NULL, 5000, on_result, &r), RGE_LIMIT);
	assert_int_equal(r.calls, 0);
	rg_pg_close(pg);
	assert_int_equal(r.calls, RG_PG_QUEUE_MAX);
	assert_int_equal(r.failure.why, RG_PG_CLOSED);
	assert_int_equal(s.calls, 1);	/* the owner knows that it has closed */
	close(fd);

	/* free tells nobody */
	rg_pg_connect(pg, 500);
	fd = accept_login();
	assert_true(loop_until(base, &s.calls, 2, PATIENCE_MS));
	rg_pg_exec(pg, "SELECT 1", 0, NULL, 5000, on_result, &r);
	rg_pg_free(pg);
	loop_for(base, 20);
	assert_int_equal(r.calls, RG_PG_QUEUE_MAX);
	close(fd);
}

/* The last word of an immediate stop is a warning, as that of another process's crash; no other warning is one. */
static void
test_last_words_that_are_warnings(void **state)
{
	static const char *const states[][2] = {{"57P01", "57P01"}, {"57P02", "57P02"}, {"01000", ""}};

	(void) state;
	for (int i = 0; i < 6; i++)
	{
		Seen		s;
		Seen		r = {0};
		RgPg	   *pg = start(&s, port, 1000);
		int			fd = accept_login();
		int			busy = i % 2;

		assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
		if (busy)
			rg_pg_exec(pg, "SELECT 1", 0, NULL, 5000, on_result, &r);
		loop_for(base, 20);
		put_message(fd, 'N', "WARNING", states[i / 2][0], "postgres.c", "terminating connection due to immediate shutdown command");
		close(fd);
		assert_true(loop_until(base, &s.calls, 2, PATIENCE_MS));
		assert_int_equal(s.failure.why, RG_PG_CLOSED);
		assert_string_equal(s.failure.sqlstate, states[i / 2][1]);
		assert_int_equal(r.calls, busy);
		rg_pg_free(pg);
	}
}

/* Whatever a callback does, nothing is told twice and nothing freed is touched (run under ASan). */
static void
test_callbacks_may_do_anything(void **state)
{
	(void) state;
	for (int what = 0; what < 8; what++)
	{
		Seen		s;
		Seen		r = {0};
		Seen		other = {0};
		RgPg	   *pg = start(&s, port, 1000);
		Seen	   *actor = what % 2 == 0 ? &r : &s;
		int			fd = accept_login();

		assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
		rg_pg_exec(pg, "SELECT 1", 0, NULL, 5000, on_result, &r);
		rg_pg_exec(pg, "SELECT 2", 0, NULL, 5000, on_result, &other);
		if (what / 2 == 0)
			actor->free_this = pg;
		else if (what / 2 == 1)
			actor->close_this = pg;
		else if (what / 2 == 2)
			actor->connect_this = pg;
		else
			actor->exec_this = pg;
		loop_for(base, 10);
		put_answer(fd);
		close(fd);
		(void) loop_until(base, &r.calls, 1, PATIENCE_MS);
		if (what / 2 != 0)
			(void) loop_until(base, &other.calls, 1, PATIENCE_MS);
		loop_for(base, 30);
		assert_int_equal(r.calls, 1);
		assert_true(other.calls <= 1);
		if (what / 2 != 0)
		{
			assert_int_equal(other.calls, 1);
			rg_pg_free(pg);
		}

		/* the next accept() must not find what a callback has begun */
		close(listener);
		listener = listen_somewhere(&port);
	}
}

int
main(void)
{
#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connect_failures_are_told_apart),
		cmocka_unit_test(test_messages_are_one_short_line),
		cmocka_unit_test(test_messages_are_valid_utf8),
		cmocka_unit_test(test_the_servers_hint_is_kept_and_ours_fills_in),
		WITH_LOOP(test_refused),
		WITH_LOOP(test_accepts_and_says_nothing),
		WITH_LOOP(test_no_address),
		WITH_LOOP(test_closed_in_the_middle_of_the_login),
		WITH_LOOP(test_something_else_listens_there),
		WITH_LOOP(test_refused_by_the_server),
		WITH_LOOP(test_answer_error_and_end),
		WITH_LOOP(test_end_while_a_statement_runs),
		WITH_LOOP(test_last_words_that_are_warnings),
		WITH_LOOP(test_deadline_of_a_statement_closes_the_session),
		WITH_LOOP(test_queue_is_limited_and_close_tells_all),
		WITH_LOOP(test_callbacks_may_do_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
