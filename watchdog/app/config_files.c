/*
 * config_files.c
 *	  Looks at the files that a configuration names.
 *
 * All of these are needed only when something fails: the key and the host keys
 * for fencing, the state directory before the first promotion.  So they are
 * looked at beforehand.  The check may be run by root or by a DBA; regentd runs
 * as the owner of the state directory, and it is that user who must be able to
 * read them.
 */
#include "config_files.h"
#include "../io/ssh_keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <libssh2.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX 2560

typedef struct Check
{
	const RgConfig *config;
	RgFindingFn fn;
	void	   *arg;
	uid_t		uid;			/* of regentd */
	gid_t		gid;
	char		user[64];
} Check;

/* The fix is the text behind the last tab of the message; none = "". */
static void __attribute__((format(printf, 4, 5)))
report(Check *check, RgFinding verdict, const char *node, const char *fmt,...)
{
	char		text[TEXT_MAX];
	char	   *tab;
	va_list		args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	tab = strrchr(text, '\t');
	if (tab != NULL)
		*tab++ = '\0';
	check->fn(check->arg, verdict, node, text, tab != NULL ? tab : "");
}

/* May regentd's user read it?  (Directories above are not looked at.) */
static bool
is_readable(const Check *check, const struct stat *st)
{
	if (check->uid == 0)
		return true;
	if (st->st_uid == check->uid)
		return st->st_mode & S_IRUSR;
	if (st->st_gid == check->gid)
		return st->st_mode & S_IRGRP;
	return st->st_mode & S_IROTH;
}

/* A regular file that regentd can read; else reports and returns false. */
static bool
file_is_usable(Check *check, const char *what, const char *file, RgFinding when_missing,
			   const char *fix_missing, struct stat *ret_st)
{
	if (stat(file, ret_st) != 0)
	{
		if (errno == ENOENT)
			report(check, when_missing, NULL, "%s %s does not exist\t%s", what, file, fix_missing);
		else
			report(check, RG_FINDING_FAILED, NULL, "%s %s can't be looked at: %s\tchown %s %s",
				   what, file, strerror(errno), check->user, file);
		return false;
	}
	if (!S_ISREG(ret_st->st_mode))
	{
		report(check, RG_FINDING_FAILED, NULL, "%s %s is not a file\t%s", what, file, fix_missing);
		return false;
	}
	if (!is_readable(check, ret_st))
	{
		report(check, RG_FINDING_FAILED, NULL, "%s %s can't be read by user %s, as whom regentd runs"
			   "\tchown %s %s", what, file, check->user, check->user, file);
		return false;
	}
	return true;
}

static void
check_config_file(Check *check)
{
	struct stat st;
	const char *file = check->config->file;

	if (!file_is_usable(check, "configuration file", file, RG_FINDING_FAILED, "name it with -c FILE", &st))
		return;
	if (st.st_mode & S_IWOTH)
		report(check, RG_FINDING_FAILED, NULL,
			   "configuration file %s can be written by everybody\tchmod o-w %s", file, file);
	else
		report(check, RG_FINDING_OK, NULL, "configuration file %s", file);
}

static void
check_passfile(Check *check)
{
	struct stat st;
	const char *file = check->config->passfile;
	char		fix[TEXT_MAX / 2];

	if (*file == '\0')
		return;
	snprintf(fix, sizeof(fix), "if passwords are needed: install -m 600 -o %s /dev/null %s, "
			 "then add lines HOST:PORT:DATABASE:USER:PASSWORD", check->user, file);
	if (!file_is_usable(check, "passfile", file, RG_FINDING_WARNING, fix, &st))
		return;
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		report(check, RG_FINDING_FAILED, NULL, "passfile %s is open to others (mode %04o), so libpq ignores it"
			   "\tchmod 600 %s", file, (unsigned) st.st_mode & 07777, file);
	else
		report(check, RG_FINDING_OK, NULL, "passfile %s", file);
}

/* A key that libssh2 can use and nobody else can read. */
static void
check_key(Check *check)
{
	struct stat st;
	const char *file = check->config->ssh_key;
	char		fix[TEXT_MAX / 2];
	RgSshKeyfile key;
	RgError		err = {0};

	if (*file == '\0')
	{
		report(check, getenv("SSH_AUTH_SOCK") != NULL ? RG_FINDING_OK : RG_FINDING_WARNING, NULL,
			   "ssh_key is empty: only keys of an agent are used%s", getenv("SSH_AUTH_SOCK") != NULL ? "" :
			   ", and SSH_AUTH_SOCK is not set here\tset ssh_key, or see to it that regentd's service has SSH_AUTH_SOCK");
		return;
	}
	snprintf(fix, sizeof(fix), "runuser -u %s -- ssh-keygen -t ed25519 -N '' -f %s", check->user, file);
	if (!file_is_usable(check, "ssh_key", file, RG_FINDING_FAILED, fix, &st))
		return;
	if (rg_ssh_keyfile_read(file, &key, &err) == 0 && key.is_usable)
		report(check, RG_FINDING_OK, NULL, "ssh_key %s (%s)", file, key.type);
	else
		report(check, RG_FINDING_FAILED, NULL, "ssh_key: %s\t%s", err.message, err.hint);
}

/* Has known_hosts an entry for the node?  Any key counts here; sshd's is compared when connecting. */
static void
check_host_key(Check *check, LIBSSH2_KNOWNHOSTS *hosts, const RgNodeConfig *node)
{
	struct libssh2_knownhost *found = NULL;
	int			rc;
	static const char no_key[] = "-";

	rc = libssh2_knownhost_checkp(hosts, node->ssh_host, node->ssh_port, no_key, sizeof(no_key) - 1,
								  LIBSSH2_KNOWNHOST_TYPE_PLAIN | LIBSSH2_KNOWNHOST_KEYENC_RAW, &found);
	if (rc == LIBSSH2_KNOWNHOST_CHECK_NOTFOUND)
		report(check, RG_FINDING_FAILED, node->name, "known_hosts has no key of %s port %d"
			   "\tssh-keyscan -p %d %s >> %s, and compare the fingerprint with the one on the host",
			   node->ssh_host, node->ssh_port, node->ssh_port, node->ssh_host, check->config->ssh_known_hosts);
	else
		report(check, RG_FINDING_OK, node->name, "known_hosts has a key of %s port %d",
			   node->ssh_host, node->ssh_port);
}

static void
check_known_hosts(Check *check)
{
	const char *file = check->config->ssh_known_hosts;
	struct stat st;
	char		fix[TEXT_MAX / 2];
	LIBSSH2_SESSION *session;
	LIBSSH2_KNOWNHOSTS *hosts = NULL;

	snprintf(fix, sizeof(fix), "ssh-keyscan -p PORT HOST >> %s for each node, "
			 "and compare the fingerprints with those on the hosts", file);
	if (!file_is_usable(check, "ssh_known_hosts", file, RG_FINDING_FAILED, fix, &st))
		return;
	if (st.st_mode & (S_IWGRP | S_IWOTH))
	{
		report(check, RG_FINDING_FAILED, NULL, "ssh_known_hosts %s can be written by others\tchmod go-w %s",
			   file, file);
		return;
	}
	session = libssh2_session_init();
	if (session != NULL)
		hosts = libssh2_knownhost_init(session);
	if (hosts == NULL || libssh2_knownhost_readfile(hosts, file, LIBSSH2_KNOWNHOST_FILE_OPENSSH) < 0)
		report(check, RG_FINDING_FAILED, NULL, "ssh_known_hosts %s can't be understood\t%s", file, fix);
	else
		for (int i = 0; i < check->config->nnodes; i++)
			check_host_key(check, hosts, &check->config->nodes[i]);
	if (hosts != NULL)
		libssh2_knownhost_free(hosts);
	if (session != NULL)
		libssh2_session_free(session);
}

/* A command that was once run as root leaves a file behind that regentd can't read any more. */
static bool
state_files_are_ours(Check *check)
{
	const char *dir = check->config->state_directory;
	static const char *const names[] = {"identity", "lock"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		char		path[RG_PATH_MAX + 16];
		struct stat st;

		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		if (stat(path, &st) != 0 || st.st_uid == check->uid)
			continue;
		report(check, RG_FINDING_FAILED, NULL, "%s belongs to another user than its directory, so regentd can't use it"
			   "\tchown -R %s %s", path, check->user, dir);
		return false;
	}
	return true;
}

static void
check_state_directory(Check *check)
{
	const char *dir = check->config->state_directory;
	struct stat st;

	if (stat(dir, &st) != 0)
		report(check, RG_FINDING_FAILED, NULL, "state_directory %s can't be used: %s"
			   "\tinstall -d -m 700 -o regent %s", dir, strerror(errno), dir);
	else if (!S_ISDIR(st.st_mode))
		report(check, RG_FINDING_FAILED, NULL, "state_directory %s is not a directory"
			   "\tname a directory of its own", dir);
	else if ((st.st_mode & S_IRWXU) != S_IRWXU || (st.st_mode & (S_IWGRP | S_IWOTH)))
		report(check, RG_FINDING_FAILED, NULL, "state_directory %s has mode %04o\tchmod 700 %s",
			   dir, (unsigned) st.st_mode & 07777, dir);
	else if (state_files_are_ours(check))
		report(check, RG_FINDING_OK, NULL, "state_directory %s (of user %s)", dir, check->user);
}

static void
check_socket_directory(Check *check)
{
	char		dir[RG_PATH_MAX];
	char	   *slash;
	struct stat st;

	snprintf(dir, sizeof(dir), "%s", check->config->control_socket);
	slash = strrchr(dir, '/');
	if (slash == NULL || slash == dir)
		return;
	*slash = '\0';
	if (stat(dir, &st) == 0 && S_ISDIR(st.st_mode))
		report(check, RG_FINDING_OK, NULL, "directory of control_socket %s", dir);
	else
		report(check, RG_FINDING_WARNING, NULL, "directory of control_socket %s does not exist"
			   "\tthe systemd unit makes it; else install -d -o %s %s", dir, check->user, dir);
}

void
rg_config_files_each(const RgConfig *config, RgFindingFn fn, void *arg)
{
	Check		check = {.config = config, .fn = fn, .arg = arg};
	struct stat st;
	struct passwd pw;
	struct passwd *found = NULL;
	char		buf[4096];

	check.uid = stat(config->state_directory, &st) == 0 ? st.st_uid : geteuid();
	check.gid = getegid();
	snprintf(check.user, sizeof(check.user), "%lu", (unsigned long) check.uid);
	if (getpwuid_r(check.uid, &pw, buf, sizeof(buf), &found) == 0 && found != NULL)
	{
		snprintf(check.user, sizeof(check.user), "%s", pw.pw_name);
		check.gid = pw.pw_gid;
	}
	check_config_file(&check);
	check_passfile(&check);
	check_key(&check);
	check_known_hosts(&check);
	check_state_directory(&check);
	check_socket_directory(&check);
}

/* For rg_config_check_files: prints what is not well. */
typedef struct Printer
{
	FILE	   *out;
	int			failed;
} Printer;

static void
print_finding(void *arg, RgFinding verdict, const char *node, const char *what, const char *fix)
{
	Printer    *printer = arg;

	if (verdict == RG_FINDING_OK)
		return;
	printer->failed += verdict == RG_FINDING_FAILED;
	if (printer->out == NULL)
		return;
	fprintf(printer->out, "%s: %s%s%s\n", verdict == RG_FINDING_FAILED ? "error" : "warning",
			node != NULL ? node : "", node != NULL ? ": " : "", what);
	if (*fix != '\0')
		fprintf(printer->out, "  fix: %s\n", fix);
}

int
rg_config_check_files(const RgConfig *config, FILE *out)
{
	Printer		printer = {.out = out};

	rg_config_files_each(config, print_finding, &printer);
	return printer.failed == 0 ? 0 : RGE_TRUST;
}
