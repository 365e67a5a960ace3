/*
 * real_ssh.c
 *	  watchdog/io/ssh against a real sshd; started by test/unit/real.
 *
 * Usage: real_ssh DIRECTORY PORT.  The directory holds known_hosts, keys and
 * the pid of sshd as the script made them.  Each scenario prints "ok NAME" or
 * "not ok NAME"; latencies are printed as they are measured.
 */
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/ssh.h"

static struct event_base *base;
static const char *dir;
static int	port;
static int	failures;

typedef struct State
{
	RgSshState	last;
	int			calls;
	char		reason[512];
	char		hint[512];
} State;

typedef struct Command
{
	int			done;			/* calls of done */
	RgSshEnd	end;
	int			status;
	char		errors[2048];
	int			lines;
	char		last_line[8192];
	RgSshCommand *cancel_in_line;
	RgSsh	   *free_in_line;
} Command;

static void
check(const char *name, bool is_good, const char *what)
{
	printf("%s %s%s%s\n", is_good ? "ok" : "not ok", name, what[0] != '\0' ? " - " : "", what);
	fflush(stdout);
	if (!is_good)
		failures++;
}

static void
on_state(void *arg, RgSsh *ssh, RgSshState state, const char *reason, const char *hint)
{
	State	   *s = arg;

	(void) ssh;
	s->last = state;
	s->calls++;
	snprintf(s->reason, sizeof(s->reason), "%s", reason);
	snprintf(s->hint, sizeof(s->hint), "%s", hint);
}

static void
on_line(void *arg, const char *line)
{
	Command    *c = arg;

	c->lines++;
	snprintf(c->last_line, sizeof(c->last_line), "%s", line);
	if (c->cancel_in_line != NULL)
		rg_ssh_cancel(c->cancel_in_line);
	if (c->free_in_line != NULL)
		rg_ssh_free(c->free_in_line);
}

static void
on_done(void *arg, RgSshEnd end, int exit_status, const char *errors)
{
	Command    *c = arg;

	c->done++;
	c->end = end;
	c->status = exit_status;
	snprintf(c->errors, sizeof(c->errors), "%s", errors);
}

static bool
always_false(void *arg)
{
	(void) arg;
	return false;
}

/* Runs the loop until fn says so or the time is over. */
static bool
wait_for(bool (*fn) (void *arg), void *arg, int ms)
{
	int64_t		end = rg_clock_now_ms() + ms;

	while (!fn(arg))
	{
		if (rg_clock_now_ms() >= end)
			return false;
		event_base_loopexit(base, &(struct timeval) {.tv_usec = 50000});
		event_base_loop(base, EVLOOP_ONCE);
	}
	return true;
}

static bool
is_ended(void *arg)
{
	return ((State *) arg)->calls > 0;
}

static bool
is_ready(void *arg)
{
	return ((State *) arg)->last == RG_SSH_READY;
}

static bool
is_not_ready(void *arg)
{
	return ((State *) arg)->last != RG_SSH_READY;
}

static bool
is_done(void *arg)
{
	return ((Command *) arg)->done > 0;
}

static void
wait_for_lines(const Command *c, int n)
{
	int64_t		end = rg_clock_now_ms() + 3000;

	while (c->lines < n && c->done == 0 && rg_clock_now_ms() < end)
	{
		event_base_loopexit(base, &(struct timeval) {.tv_usec = 50000});
		event_base_loop(base, EVLOOP_ONCE);
	}
}

static RgSshParams
params_new(const char *key, const char *known_hosts)
{
	RgSshParams p = {.port = port, .connect_deadline_ms = 3000, .keepalive_ms = 1000};

	snprintf(p.node, sizeof(p.node), "n1");
	snprintf(p.host, sizeof(p.host), "127.0.0.1");
	snprintf(p.user, sizeof(p.user), "%s", getenv("REAL_USER"));
	if (key != NULL)
		snprintf(p.key_file, sizeof(p.key_file), "%s/%s", dir, key);
	snprintf(p.known_hosts, sizeof(p.known_hosts), "%s/%s", dir, known_hosts);
	return p;
}

static RgSsh *
open_session(State *s, const char *key, const char *known_hosts)
{
	RgSshParams p = params_new(key, known_hosts);
	RgSsh	   *ssh = rg_ssh_new(base, &p, on_state, s);

	memset(s, 0, sizeof(*s));
	rg_ssh_start(ssh);
	wait_for(is_ended, s, 6000);
	return ssh;
}

/* A session's first end is expected to be this. */
static void
expect_state(const char *name, const char *key, const char *known_hosts, RgSshState expected)
{
	State		s;
	RgSsh	   *ssh = open_session(&s, key, known_hosts);
	char		what[1200];

	snprintf(what, sizeof(what), "state %d, %s | %s", (int) s.last, s.reason, s.hint);
	check(name, s.last == expected, what);
	rg_ssh_free(ssh);
}

static RgSshCommand *
start_command(RgSsh *ssh, Command *c, const char *mode, const char *arg, int deadline_ms)
{
	const char *words[] = {mode, arg, NULL};
	char		err[256];
	RgSshCommand *cmd;

	memset(c, 0, sizeof(*c));
	cmd = rg_ssh_exec(ssh, words, deadline_ms, on_line, on_done, c, err, sizeof(err));
	if (cmd == NULL)
		printf("# exec refused: %s\n", err);
	return cmd;
}

static int
compare(const void *a, const void *b)
{
	int64_t		x = *(const int64_t *) a;
	int64_t		y = *(const int64_t *) b;

	return x < y ? -1 : x > y;
}

static void
measure(RgSsh *ssh, const char *name, const char *mode, const char *arg, int n)
{
	static int64_t us[1000];
	int			good = 0;

	for (int i = 0; i < n; i++)
	{
		Command		c;
		int64_t		start = rg_clock_now_us();

		start_command(ssh, &c, mode, arg, 5000);
		while (c.done == 0)
			event_base_loop(base, EVLOOP_ONCE);
		us[i] = rg_clock_now_us() - start;
		good += c.end == RG_SSH_EXITED && c.status == 0;
	}
	qsort(us, (size_t) n, sizeof(us[0]), compare);
	printf("# %s: n=%d median %.2f ms, p95 %.2f ms, max %.2f ms\n", name, n,
		   (double) us[n / 2] / 1000, (double) us[n * 95 / 100] / 1000, (double) us[n - 1] / 1000);
	check(name, good == n, "");
}

/* A command that waits and answers, as the warm helper does. */
static void
test_input(RgSsh *ssh)
{
	static int64_t us[500];
	Command		c;
	RgSshCommand *cmd = start_command(ssh, &c, "cat", "x", 20000);
	char		text[64];
	char		big[RG_SSH_INPUT_MAX + 1];
	int			good = 0;

	for (int i = 0; i < 500; i++)
	{
		int64_t		start = rg_clock_now_us();

		snprintf(text, sizeof(text), "line %d\n", i);
		good += rg_ssh_write(cmd, text);
		wait_for_lines(&c, i + 1);
		us[i] = rg_clock_now_us() - start;
	}
	qsort(us, 500, sizeof(us[0]), compare);
	printf("# a line there and back: median %.2f ms, max %.2f ms\n", (double) us[250] / 1000, (double) us[499] / 1000);
	check("input is answered", good == 500 && strcmp(c.last_line, "line 499") == 0, c.last_line);
	memset(big, 'y', sizeof(big) - 1);
	big[sizeof(big) - 2] = '\n';
	big[sizeof(big) - 1] = '\0';
	check("input that waits is limited", rg_ssh_write(cmd, big) && !rg_ssh_write(cmd, "z\n"), "");
	wait_for_lines(&c, 501);
	check("a long line comes whole", strlen(c.last_line) == RG_SSH_INPUT_MAX - 1, "");
	rg_ssh_cancel(cmd);
	wait_for(is_done, &c, 2000);
	check("and ends by being cancelled", c.end == RG_SSH_LOST, c.errors);
}

/* Many at a time, again and again: no answer may wait for another one's event. */
static void
test_many(RgSsh *ssh)
{
	Command		c[4];
	int64_t		longest = 0;
	int			good = 0;
	int			stalled = 0;
	char		what[80];

	for (int round = 0; round < 150; round++)
	{
		int64_t		start = rg_clock_now_us();

		for (int i = 0; i < 4; i++)
			start_command(ssh, &c[i], i % 2 == 0 ? "hello" : "true", "x", 5000);
		for (int i = 0; i < 4; i++)
		{
			wait_for(is_done, &c[i], 6000);
			good += c[i].end == RG_SSH_EXITED && c[i].status == 0 && c[i].lines == (i % 2 == 0);
		}
		if (rg_clock_now_us() - start > longest)
			longest = rg_clock_now_us() - start;
		stalled += rg_clock_now_us() - start > 700000;
	}
	/* a busy machine stalls one or two of them, an answer that is forgotten one in ten */
	snprintf(what, sizeof(what), "%d rounds stalled, longest %.1f ms", stalled, (double) longest / 1000);
	check("600 commands, four at a time", good == 600 && stalled <= 5, what);
}

static void
test_commands(void)
{
	State		s;
	Command		c;
	Command		many[RG_SSH_COMMANDS_MAX + 1];
	RgSsh	   *ssh = open_session(&s, "id_ed25519", "known_hosts");
	int64_t		start;
	char		what[3000];
	int			n;

	check("ready", s.last == RG_SSH_READY, s.reason);
	start_command(ssh, &c, "hello", "one", 2000);
	wait_for(is_done, &c, 3000);
	check("output and status", c.end == RG_SSH_EXITED && c.status == 0 && strcmp(c.last_line, "hello one") == 0, c.last_line);

	start_command(ssh, &c, "fail", "x", 2000);
	wait_for(is_done, &c, 3000);
	check("exit status and standard error", c.end == RG_SSH_EXITED && c.status == 3 && strcmp(c.errors, "it failed\n") == 0, c.errors);

	start_command(ssh, &c, "latin1", "x", 2000);
	wait_for(is_done, &c, 3000);
	check("what is not UTF-8 is mended", strcmp(c.last_line, "f?r \"it\"") == 0 && strcmp(c.errors, "f?r") == 0, c.errors);

	start_command(ssh, &c, "killed", "x", 2000);
	wait_for(is_done, &c, 3000);
	check("ended by a signal", c.end == RG_SSH_EXITED && c.status == 128 + 15, "");

	start_command(ssh, &c, "early-eof", "x", 3000);
	wait_for(is_done, &c, 4000);
	check("status comes after end of file", c.end == RG_SSH_EXITED && c.status == 5, "");

	start_command(ssh, &c, "no-newline", "x", 2000);
	wait_for(is_done, &c, 3000);
	check("a last line without newline", c.lines == 2 && strcmp(c.last_line, "rest") == 0, c.last_line);

	start = rg_clock_now_ms();
	start_command(ssh, &c, "sleep", "60", 300);
	wait_for(is_done, &c, 3000);
	snprintf(what, sizeof(what), "%lld ms, %s", (long long) (rg_clock_now_ms() - start), c.errors);
	check("a command that never ends is cut by its deadline", c.end == RG_SSH_LOST && rg_clock_now_ms() - start >= 295, what);

	start = rg_clock_now_ms();
	start_command(ssh, &c, "flood", "x", 20000);
	wait_for(is_done, &c, 20000);
	snprintf(what, sizeof(what), "%lld ms, %d lines", (long long) (rg_clock_now_ms() - start), c.lines);
	check("a gigabyte of output is cut", c.end == RG_SSH_TOO_MUCH, what);
	start_command(ssh, &c, "flood-errors", "x", 20000);
	wait_for(is_done, &c, 20000);
	check("a flood on standard error is cut", c.end == RG_SSH_TOO_MUCH && strlen(c.errors) == 1024, "");
	start_command(ssh, &c, "long-line", "x", 20000);
	wait_for(is_done, &c, 20000);
	check("a line without end is cut", c.end == RG_SSH_TOO_MUCH, "");

	c.cancel_in_line = start_command(ssh, &c, "drip", "x", 20000);
	wait_for(is_done, &c, 5000);
	check("cancelled from its own line", c.end == RG_SSH_LOST && c.lines == 1, c.errors);

	n = 0;
	for (int i = 0; i < RG_SSH_COMMANDS_MAX + 1; i++)
		n += start_command(ssh, &many[i], "drip-end", "x", 5000) != NULL;
	check("not more than the maximum at a time", n == RG_SSH_COMMANDS_MAX, "");
	n = 0;
	for (int i = 0; i < RG_SSH_COMMANDS_MAX; i++)
	{
		wait_for(is_done, &many[i], 6000);
		n += many[i].end == RG_SSH_EXITED && many[i].lines == 4 && many[i].done == 1;
	}
	check("eight at a time, all whole", n == RG_SSH_COMMANDS_MAX, "");

	check("still the same session", rg_ssh_state(ssh) == RG_SSH_READY && s.calls == 1, "");
	wait_for(always_false, NULL, 3500);
	check("kept alive while idle", rg_ssh_state(ssh) == RG_SSH_READY && s.calls == 1, s.reason);
	measure(ssh, "exec of true", "true", "x", 200);
	measure(ssh, "exec of regent-node's size (sh)", "hello", "x", 200);

	test_many(ssh);
	test_input(ssh);
	start_command(ssh, &c, "drip", "x", 20000);
	c.free_in_line = ssh;
	wait_for(always_false, NULL, 700);
	check("freed from a line: no further call", c.lines == 1 && c.done == 0, "");
}

static void
test_lost(void)
{
	State		s;
	Command		c;
	Command		later;
	RgSsh	   *ssh = open_session(&s, "id_ed25519", "known_hosts");
	int64_t		start;
	char		what[700];
	pid_t		server;

	/* the server process of this session dies */
	start_command(ssh, &c, "parent-pid", "x", 2000);
	wait_for(is_done, &c, 3000);
	server = (pid_t) atoi(c.last_line);
	start_command(ssh, &c, "sleep", "5", 20000);
	wait_for(always_false, NULL, 200);
	s.calls = 0;
	start = rg_clock_now_ms();
	if (server > 1)
		kill(server, SIGKILL);
	wait_for(is_done, &c, 3000);
	snprintf(what, sizeof(what), "%lld ms, %s", (long long) (rg_clock_now_ms() - start), s.reason);
	check("a lost session is seen at once, the command is lost", c.end == RG_SSH_LOST && rg_clock_now_ms() - start < 2000, what);
	wait_for(is_ready, &s, 3000);
	snprintf(what, sizeof(what), "%lld ms", (long long) (rg_clock_now_ms() - start));
	check("connected again by itself", s.last == RG_SSH_READY, what);

	/* it is frozen: found by the probe */
	start_command(ssh, &c, "parent-pid", "x", 2000);
	wait_for(is_done, &c, 3000);
	server = (pid_t) atoi(c.last_line);
	start = rg_clock_now_ms();
	if (server > 1)
		kill(server, SIGSTOP);
	start_command(ssh, &c, "hello", "x", 600);
	start_command(ssh, &later, "hello", "x", 600);
	wait_for(is_done, &c, 3000);
	check("sent to a frozen sshd: outcome unknown", c.end == RG_SSH_LOST, c.errors);
	wait_for(is_done, &later, 3000);
	check("never sent to a frozen sshd: known", later.end == RG_SSH_NOT_SENT, later.errors);
	wait_for(is_not_ready, &s, 5000);
	snprintf(what, sizeof(what), "%lld ms, %s", (long long) (rg_clock_now_ms() - start), s.reason);
	check("a frozen sshd is found", s.last == RG_SSH_SILENT, what);
	if (server > 1)
	{
		kill(server, SIGKILL);
		kill(server, SIGCONT);
	}
	wait_for(is_ready, &s, 3000);
	check("and connected again", s.last == RG_SSH_READY, "");
	rg_ssh_free(ssh);
}

static void
test_connect_time(void)
{
	int64_t		us[50];

	for (int i = 0; i < 50; i++)
	{
		State		s;
		int64_t		start = rg_clock_now_us();
		RgSshParams p = params_new("id_ed25519", "known_hosts");
		RgSsh	   *ssh = rg_ssh_new(base, &p, on_state, &s);

		memset(&s, 0, sizeof(s));
		rg_ssh_start(ssh);
		while (s.calls == 0)
			event_base_loop(base, EVLOOP_ONCE);
		us[i] = rg_clock_now_us() - start;
		rg_ssh_free(ssh);
	}
	qsort(us, 50, sizeof(us[0]), compare);
	printf("# connect to ready: median %.1f ms, max %.1f ms\n", (double) us[25] / 1000, (double) us[49] / 1000);
}

int
main(int argc, char **argv)
{
	struct event_config *cfg = event_config_new();
	const char *agent;

	if (argc != 3)
		return 2;
	dir = argv[1];
	port = atoi(argv[2]);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_PRECISE_TIMER);
	base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	signal(SIGPIPE, SIG_IGN);

	agent = getenv("SSH_AUTH_SOCK");
	if (agent != NULL)
	{
		expect_state("agent alone", NULL, "known_hosts", RG_SSH_READY);
		expect_state("encrypted key, known to the agent", "id_locked", "known_hosts", RG_SSH_READY);
		unsetenv("SSH_AUTH_SOCK");
	}
	expect_state("ed25519", "id_ed25519", "known_hosts", RG_SSH_READY);
	expect_state("ecdsa", "id_ecdsa", "known_hosts", RG_SSH_READY);
	expect_state("ecdsa PEM", "id_ecdsa_pem", "known_hosts", RG_SSH_READY);
	expect_state("rsa", "id_rsa", "known_hosts", RG_SSH_KEY_FILE);
	expect_state("encrypted", "id_locked", "known_hosts", RG_SSH_KEY_FILE);
	expect_state("encrypted PEM", "id_locked_pem", "known_hosts", RG_SSH_KEY_FILE);
	expect_state("no key file", "missing", "known_hosts", RG_SSH_KEY_FILE);
	expect_state("no key and no agent", NULL, "known_hosts", RG_SSH_KEY_FILE);
	expect_state("another key", "id_other", "known_hosts", RG_SSH_AUTH);
	expect_state("unknown host", "id_ed25519", "known_none", RG_SSH_HOST_KEY);
	expect_state("no known_hosts", "id_ed25519", "missing", RG_SSH_HOST_KEY);
	expect_state("changed host key", "id_ed25519", "known_wrong", RG_SSH_HOST_KEY);
	expect_state("known by ecdsa only", "id_ed25519", "known_ecdsa", RG_SSH_READY);
	expect_state("known by rsa only", "id_ed25519", "known_rsa", RG_SSH_HOST_KEY);
	expect_state("known by hashed name", "id_ed25519", "known_hashed", RG_SSH_READY);
	expect_state("revoked", "id_ed25519", "known_revoked", RG_SSH_HOST_KEY);
	expect_state("ecdsa right, ed25519 wrong", "id_ed25519", "known_half", RG_SSH_HOST_KEY);
	test_connect_time();
	test_commands();
	test_lost();

	event_base_free(base);
	libevent_global_shutdown();
	printf("# %d failed\n", failures);
	return failures == 0 ? 0 : 1;
}
