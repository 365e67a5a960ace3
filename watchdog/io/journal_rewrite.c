/*
 * journal_rewrite.c
 *	  Choosing the lines that a journal still needs, and writing them anew.
 *
 * The old text is walked backwards from its end, so the first line met of a
 * kind is its newest and the walk may stop to keep events after the last
 * thousand.  Lines are copied as they are, after their checksum has been
 * checked: rewriting must not turn damage into a good-looking file.
 */
#include "journal_rewrite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "journal.h"
#include "journal_line.h"

#define LINES_KEPT_MAX (RG_JOURNAL_EVENTS_KEPT + RG_JOURNAL_KINDS_MAX + 1)

/* A piece of the old text. */
typedef struct Piece
{
	const char *text;
	size_t		len;
} Piece;

int
rg_journal_write_all(int fd, const char *text, size_t len)
{
	while (len > 0)
	{
		ssize_t		n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : ENOSPC;
		text += n;
		len -= (size_t) n;
	}
	return 0;
}

/* Is this line to be kept?  Asked from the newest line to the oldest. */
static bool
is_kept(const char *const *keep, const char *kind, bool *seen, int *events)
{
	if (strcmp(kind, "event") == 0)
		return (*events)++ < RG_JOURNAL_EVENTS_KEPT;
	for (int i = 0; keep != NULL && i < RG_JOURNAL_KINDS_MAX && keep[i] != NULL; i++)
	{
		if (strcmp(kind, keep[i]) != 0)
			continue;
		if (seen[i])
			return false;
		seen[i] = true;
		return true;
	}
	return false;
}

/* The lines to keep, newest first, with their newlines. */
static int
select_lines(const char *path, const char *text, size_t len, const char *const *keep,
			 Piece *pieces, int *ret_npieces, RgError *err)
{
	bool		seen[RG_JOURNAL_KINDS_MAX] = {false};
	int			events = 0;
	int			n = 0;
	size_t		end = len;

	while (end > 0)
	{
		const char *newline = end > 1 ? memrchr(text, '\n', end - 1) : NULL;
		size_t		start = newline != NULL ? (size_t) (newline - text) + 1 : 0;
		RgJournalHead head;

		if (text[end - 1] != '\n' || !rg_journal_line_check(text + start, end - 1 - start, &head))
			return rg_error_set(err, RGE_FORMAT, "journal \"%s\" has been damaged since it was opened", path);
		if ((is_kept(keep, head.kind, seen, &events) || end == len) && n < LINES_KEPT_MAX)
			pieces[n++] = (Piece) {text + start, end - start};
		end = start;
	}
	*ret_npieces = n;
	return 0;
}

int
rg_journal_write_beside(int dir_fd, const char *tmp_name, const char *path,
						const char *text, size_t len, const char *const *keep,
						int *ret_fd, off_t *ret_size, RgError *err)
{
	Piece	   *pieces = calloc(LINES_KEPT_MAX, sizeof(Piece));
	int			npieces = 0;
	int			save_errno = 0;
	off_t		size = 0;
	int			fd = -1;
	int			rc;

	if (pieces == NULL)
		return rg_error_set(err, RGE_NOMEM, "out of memory");
	rc = select_lines(path, text, len, keep, pieces, &npieces, err);
	if (rc != 0)
		goto out;
	fd = openat(dir_fd, tmp_name, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		save_errno = errno;
	for (int i = npieces - 1; i >= 0 && save_errno == 0; i--)
	{
		save_errno = rg_journal_write_all(fd, pieces[i].text, pieces[i].len);
		size += (off_t) pieces[i].len;
	}
	if (save_errno == 0 && fsync(fd) != 0)
		save_errno = errno;
	if (save_errno != 0)
	{
		rc = rg_error_set(err, RGE_IO, "could not rewrite journal \"%s\": %s", path, strerror(save_errno));
		rg_error_hint(err, "Free some space on its file system.");
		goto out;
	}
	*ret_fd = fd;
	*ret_size = size;
	fd = -1;

out:
	if (fd >= 0)
	{
		close(fd);
		unlinkat(dir_fd, tmp_name, 0);
	}
	free(pieces);
	return rc;
}
