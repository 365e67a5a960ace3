/*
 * conf_edit.c
 *	  A node's section written into regent.conf, or taken out of it.
 *
 * The file belongs to people: all that they wrote stays as it is, byte by byte, with
 * owner and mode.  The new text is written beside it, read as a configuration, and
 * only when that is right it takes the file's name; so whatever happens there is one
 * whole file, the old one or the new one.
 */
#include "conf_edit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONF_MAX (1024 * 1024)

/* ---- text ---- */

/* "[node n4]", with blanks and a comment as the reader allows them. */
static bool
is_heading(const char *line, const char *node)
{
	size_t		len = strlen(node);

	line += strspn(line, " \t");
	if (strncmp(line, "[node", 5) != 0 || (line[5] != ' ' && line[5] != '\t'))
		return false;
	line += 5 + strspn(line + 5, " \t");
	return strncmp(line, node, len) == 0 && line[len] == ']';
}

static bool
begins_section(const char *line)
{
	return line[strspn(line, " \t")] == '[';
}

static bool
is_comment(const char *line)
{
	char		first = line[strspn(line, " \t")];

	return first == ';' || first == '#';
}

static bool
is_blank(const char *line)
{
	char		first = line[strspn(line, " \t\r")];

	return first == '\n' || first == '\0';
}

static const char *
next_line(const char *line)
{
	const char *end = strchr(line, '\n');

	return end != NULL ? end + 1 : line + strlen(line);
}

static const char *
line_before(const char *text, const char *line)
{
	if (line == text)
		return NULL;
	for (line--; line > text && line[-1] != '\n'; line--)
		;
	return line;
}

/* Comments right above a heading belong to it. */
static const char *
with_comments_above(const char *text, const char *heading)
{
	const char *begin = heading;
	const char *above;

	while ((above = line_before(text, begin)) != NULL && is_comment(above))
		begin = above;
	return begin;
}

char *
rg_conf_without(const char *text, const char *node)
{
	const char *begin = text;
	const char *end;
	char	   *result;

	while (*begin != '\0' && !is_heading(begin, node))
		begin = next_line(begin);
	if (*begin == '\0')
		return NULL;
	end = next_line(begin);
	while (*end != '\0' && !begins_section(end))
		end = next_line(end);
	if (*end != '\0')
		end = with_comments_above(next_line(begin), end);
	begin = with_comments_above(text, begin);
	/* one blank line between its neighbours, none at the end */
	for (const char *above; (above = line_before(text, begin)) != NULL && is_blank(above) &&
		 (*end == '\0' || is_blank(end));)
		begin = above;
	result = malloc(strlen(text) + 1);
	if (result != NULL)
	{
		memcpy(result, text, (size_t) (begin - text));
		strcpy(result + (begin - text), end);
	}
	return result;
}

/* ---- file ---- */

static int
fail(RgError *err, const char *what, const char *file)
{
	int			code = errno;

	rg_error_set(err, RGE_IO, "could not %s \"%.200s\": %s", what, file, strerror(code));
	if (code == EACCES || code == EPERM || code == EROFS)
		rg_error_hint(err, "It belongs to somebody else: edit it as that user.");
	return RGE_IO;
}

/* The whole file, to be freed; its lock is held as long as fd is open. */
static char *
read_locked(const char *file, int *ret_fd, struct stat *ret_stat, RgError *err)
{
	int			fd = open(file, O_RDONLY | O_CLOEXEC);
	char	   *text = NULL;
	ssize_t		len = -1;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, ret_stat) != 0)
		fail(err, fd < 0 ? "open" : "lock", file);
	else if (ret_stat->st_size > CONF_MAX || !S_ISREG(ret_stat->st_mode))
		rg_error_set(err, RGE_LIMIT, "\"%.200s\" is no file of a reasonable size", file);
	else if ((text = malloc((size_t) ret_stat->st_size + 1)) == NULL)
		rg_error_set(err, RGE_NOMEM, "out of memory");
	else if ((len = read(fd, text, (size_t) ret_stat->st_size)) != ret_stat->st_size)
		fail(err, "read", file);
	else
	{
		text[len] = '\0';
		*ret_fd = fd;
		return text;
	}
	free(text);
	if (fd >= 0)
		close(fd);
	return NULL;
}

static bool
write_all(int fd, const char *text)
{
	for (size_t left = strlen(text); left > 0;)
	{
		ssize_t		n = write(fd, text, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		left -= (size_t) n;
	}
	return true;
}

/* Owner, mode and content, on disk. */
static int
write_beside(const char *name, const struct stat *st, const char *text, RgError *err)
{
	int			fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int			rc = 0;

	if (fd < 0)
		return fail(err, "create", name);
	if ((st->st_uid != geteuid() || st->st_gid != getegid()) && fchown(fd, st->st_uid, st->st_gid) != 0)
		rc = fail(err, "keep the owner in", name);
	else if (fchmod(fd, st->st_mode & 07777) != 0 || !write_all(fd, text) || fsync(fd) != 0)
		rc = fail(err, "write", name);
	if (close(fd) != 0 && rc == 0)
		rc = fail(err, "write", name);
	return rc;
}

/* Nobody gets a file that can't be read, or names other nodes than were wanted. */
static int
check_new(const char *name, RgError *err)
{
	RgConfig   *config = malloc(sizeof(*config));
	int			rc = config == NULL ? rg_error_set(err, RGE_NOMEM, "out of memory")
		: rg_config_read(name, config, stderr, err);

	free(config);
	return rc;
}

static int
sync_directory(const char *file)
{
	char		directory[PATH_MAX];
	char	   *slash;
	int			fd;
	int			rc;

	snprintf(directory, sizeof(directory), "%s", file);
	slash = strrchr(directory, '/');
	if (slash == NULL)
		return 0;
	slash[slash == directory] = '\0';
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	rc = fsync(fd);
	close(fd);
	return rc;
}

static int
replace(const char *file, const struct stat *st, const char *text, RgError *err)
{
	char		name[PATH_MAX + 32];
	int			rc;

	snprintf(name, sizeof(name), "%s.regent-%ld", file, (long) getpid());
	(void) unlink(name);
	rc = write_beside(name, st, text, err);
	if (rc == 0)
		rc = check_new(name, err);
	if (rc == 0 && rename(name, file) != 0)
		rc = fail(err, "replace", file);
	if (rc != 0)
		(void) unlink(name);
	else if (sync_directory(file) != 0)
		rc = fail(err, "sync the directory of", file);
	return rc;
}

/* What a symbolic link leads to is the file. */
static int
edit(const char *file, char *(*change) (const char *text, const char *arg), const char *arg, RgError *err)
{
	char		real[PATH_MAX];
	struct stat st;
	char	   *text;
	char	   *changed;
	int			fd = -1;
	int			rc;

	if (realpath(file, real) == NULL)
		return fail(err, "find", file);
	text = read_locked(real, &fd, &st, err);
	if (text == NULL)
		return RGE_IO;
	changed = change(text, arg);
	if (changed == NULL)
		rc = rg_error_set(err, RGE_STATE, "there is nothing to change in \"%.200s\"", file);
	else
		rc = replace(real, &st, changed, err);
	free(changed);
	free(text);
	close(fd);
	return rc;
}

static char *
with_section(const char *text, const char *section)
{
	size_t		len = strlen(text);
	char	   *result = malloc(len + strlen(section) + 3);

	if (result != NULL)
		sprintf(result, "%s%s\n%s", text, len > 0 && text[len - 1] != '\n' ? "\n" : "", section);
	return result;
}

int
rg_conf_append(const char *file, const char *section, RgError *err)
{
	return edit(file, with_section, section, err);
}

int
rg_conf_remove(const char *file, const char *node, RgError *err)
{
	return edit(file, rg_conf_without, node, err);
}
