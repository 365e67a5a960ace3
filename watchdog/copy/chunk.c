/*
 * chunk.c
 *	  Reading and hashing the old blocks, writing the new ones.
 *
 * Runs in a worker; a chunk belongs to one worker at a time.  Where the file
 * system has cloned a file, only its differing blocks are written.
 */
#include "copy/chunk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Read and hashed at once: stays in a processor's cache between the two. */
#define STEP (32 * RG_COPY_BLOCK)

/* Less than this is written through the page cache, and its write-back left to the end. */
#define DIRECT_MIN (128 * 1024)

static int
file_error(const char *what, const char *path, RgError *err)
{
	bool		is_full = errno == ENOSPC || errno == EDQUOT;
	const char *reason = strerror(errno);

	rg_error_set(err, is_full ? RGE_LIMIT : RGE_IO, "could not %s \"%s\": %s", what, path, reason);
	if (is_full)
		rg_error_hint(err, "Free some space; the old directory is as it was.");
	return is_full ? RGE_LIMIT : RGE_IO;
}

uint64_t
rg_chunk_length(const RgChunk *chunk)
{
	uint64_t	length = 0;

	for (int i = 0; i < chunk->range_count; i++)
		length += chunk->ranges[i].length;
	return length;
}

/* ------------------------------------------------ before the request */

/* What was read of a range of a file. */
typedef struct Reading
{
	uint32_t	length;			/* how much of it is there; errors of the old disk make it less */
	uint32_t	count;			/* of hashes */
	int64_t		written_ns;		/* when the file was last written, asked afterwards */
} Reading;

static Reading
read_file(const RgChunk *chunk, const RgRange *range, int directory, uint8_t *buffer, uint8_t *hashes)
{
	int			fd = openat(directory, rg_plan_path(chunk->plan, range->file), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	uint32_t	done = 0;
	uint32_t	count = 0;
	int64_t		written_ns = 0;

	if (fd >= 0)
		(void) posix_fadvise(fd, (off_t) range->offset, (off_t) range->length, POSIX_FADV_WILLNEED);
	while (fd >= 0 && done < range->length)
	{
		uint32_t	wanted = range->length - done < STEP ? range->length - done : STEP;
		ssize_t		got = pread(fd, buffer + done, wanted, (off_t) (range->offset + done));

		for (ssize_t at = 0; at < got; at += RG_COPY_BLOCK)
			rg_copy_hash(buffer + done + at, (size_t) (got - at < RG_COPY_BLOCK ? got - at : RG_COPY_BLOCK),
						 chunk->seed, hashes + RG_COPY_HASH * count++);
		if (got > 0)
			done += (uint32_t) got;
		if (got < (ssize_t) wanted)
			break;
	}
	if (fd >= 0)
	{
		written_ns = rg_target_written_ns(fd);
		(void) close(fd);
	}
	return (Reading) {done, count, written_ns};
}

/*
 * What is kept must be what was hashed.  A clone is read itself only where the old file
 * may have been written since: it has no page in the page cache, while the old
 * one's are there, often enough.
 */
static Reading
read_range(const RgChunk *chunk, const RgRange *range, const RgTarget *target, uint8_t *buffer, uint8_t *hashes)
{
	const RgPlanFile *file = range->file;
	Reading		old;

	if (file->is_clone && file->written_ns == 0)
		return read_file(chunk, range, target->new_fd, buffer, hashes);
	old = read_file(chunk, range, target->old_fd, buffer, hashes);
	if (file->is_clone && old.written_ns != file->written_ns)
		return read_file(chunk, range, target->new_fd, buffer, hashes);
	return old;
}

int
rg_chunk_prepare(RgChunk *chunk, const RgTarget *target, RgError *err)
{
	uint8_t    *at = rg_copy_put64(chunk->request, chunk->seed);
	uint8_t    *buffer = chunk->buffer;

	(void) err;
	at = rg_copy_put64(at, chunk->start_lsn);
	for (int i = 0; i < chunk->range_count; i++)
	{
		const RgRange *range = &chunk->ranges[i];
		const char *path = rg_plan_path(chunk->plan, range->file);
		RgCopyItem	item = {.path = path, .path_length = (uint32_t) strlen(path),
		.length = range->length, .offset = range->offset};
		uint8_t    *hashes = at + RG_COPY_ITEM_HEADER + item.path_length;

		if (chunk->uses_old)
			item.hash_count = read_range(chunk, range, target, buffer, hashes).count;
		chunk->hash_counts[i] = item.hash_count;
		at = rg_copy_put_item(at, &item) + item.hash_count * RG_COPY_HASH;
		buffer += range->length;
	}
	chunk->request_length = (size_t) (at - chunk->request);
	return 0;
}

/* ------------------------------------------------ after the answer */

/* What the source has of a range: its blocks are put where they belong, and counted. */
typedef struct Merge
{
	uint32_t	extent;
	uint32_t	transferred;
	uint32_t	run_count;
	bool		is_gone;
	RgCopyReader runs;			/* to go through them once more */
} Merge;

/* Every block must be covered: by a run, or by a hash that the source did not object to. */
static int
merge_range(const RgChunk *chunk, int number, uint8_t *buffer, RgCopyReader *answer, Merge *ret_merge)
{
	uint32_t	length = chunk->ranges[number].length;
	Merge		merge = {.extent = rg_copy_get32(answer), .run_count = rg_copy_get32(answer)};
	uint32_t	known = chunk->hash_counts[number] * RG_COPY_BLOCK;

	merge.runs = *answer;
	merge.is_gone = merge.extent == RG_COPY_GONE;
	if (merge.is_gone)
		merge.extent = 0;
	if (answer->is_bad || merge.extent > length)
		return RGE_FORMAT;
	for (uint32_t i = 0; i < merge.run_count; i++)
	{
		RgCopyRun	run;

		if (!rg_copy_get_run(answer, merge.extent, &run) || run.offset > known)
			return RGE_FORMAT;
		memcpy(buffer + run.offset, run.bytes, run.length);
		merge.transferred += run.length;
		if (run.offset + run.length > known)
			known = run.offset + run.length;
	}
	if (merge.extent > known)
		return RGE_FORMAT;
	*ret_merge = merge;
	return 0;
}

static int
write_all(int fd, const uint8_t *bytes, size_t length, uint64_t offset)
{
	while (length > 0)
	{
		ssize_t		written = pwrite(fd, bytes, length, (off_t) offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return -1;
		bytes += written;
		length -= (size_t) written;
		offset += (uint64_t) written;
	}
	return 0;
}

/* Past the page cache, but for a tail that is no whole block of the disk. */
static int
write_direct(int fd, const uint8_t *bytes, uint32_t length, uint64_t offset)
{
	uint32_t	aligned = length / RG_COPY_BLOCK * RG_COPY_BLOCK;

	if (fcntl(fd, F_SETFL, O_DIRECT) != 0 || write_all(fd, bytes, aligned, offset) != 0 ||
		fcntl(fd, F_SETFL, 0) != 0)
		return -1;
	return write_all(fd, bytes + aligned, length - aligned, offset + aligned);
}

/*
 * Sends what was written to the disk without waiting for it, so that there is
 * little left to do for the sync at the end.
 */
static int
write_cached(int fd, const uint8_t *bytes, uint32_t length, uint64_t offset, bool is_durable)
{
	if (write_all(fd, bytes, length, offset) != 0)
		return -1;
	if (is_durable && length >= DIRECT_MIN)
		(void) sync_file_range(fd, (off_t) offset, length, SYNC_FILE_RANGE_WRITE);
	return 0;
}

/* A clone has everything but the runs. */
static int
patch_clone(int fd, const RgRange *range, Merge *merge)
{
	for (uint32_t i = 0; i < merge->run_count; i++)
	{
		RgCopyRun	run;

		if (!rg_copy_get_run(&merge->runs, merge->extent, &run) ||
			write_all(fd, run.bytes, run.length, range->offset + run.offset) != 0)
			return -1;
	}
	return 0;
}

/* A file that had its size before it was written may be too long. */
static int
cut_off(int fd, const RgRange *range, const Merge *merge)
{
	uint64_t	end = range->offset + merge->extent;
	struct stat st;

	if (merge->extent == range->length && !range->is_last)
		return 0;
	return fstat(fd, &st) != 0 || ((uint64_t) st.st_size > end && ftruncate(fd, (off_t) end) != 0) ? -1 : 0;
}

static int
write_blocks(int fd, const RgRange *range, const uint8_t *buffer, bool can_direct, bool is_durable, Merge *merge)
{
	int			rc;

	if (range->file->is_clone)
		rc = patch_clone(fd, range, merge);
	else if (can_direct && merge->extent >= DIRECT_MIN)
		rc = write_direct(fd, buffer, merge->extent, range->offset);
	else
		rc = write_cached(fd, buffer, merge->extent, range->offset, is_durable);
	if (rc == 0 && (range->file->is_clone || range->file->is_presized))
		rc = cut_off(fd, range, merge);
	return rc;
}

static int
write_range(const RgChunk *chunk, const RgRange *range, const uint8_t *buffer, const RgTarget *target, Merge *merge,
			RgError *err)
{
	const char *path = rg_plan_path(chunk->plan, range->file);
	int			fd = openat(target->new_fd, path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
							target->file_mode);
	int			rc = 0;

	if (fd < 0)
		return file_error("create", path, err);
	if (write_blocks(fd, range, buffer, target->places.all[rg_places_of(&target->places, path)].can_direct,
					 target->is_durable, merge) != 0)
		rc = file_error("write", path, err);
	if (close(fd) != 0 && rc == 0)
		rc = file_error("write", path, err);
	return rc;
}

static int
finish_range(RgChunk *chunk, int number, uint8_t *buffer, RgCopyReader *answer, const RgTarget *target, RgError *err)
{
	const RgRange *range = &chunk->ranges[number];
	Merge		merge;

	if (merge_range(chunk, number, buffer, answer, &merge) != 0)
		return rg_error_set(err, RGE_FORMAT, "the source's answer about \"%s\" has another form than agreed",
							rg_plan_path(chunk->plan, range->file));
	if (range->file->kind == RG_FILE_FIXED && (merge.is_gone || merge.extent != range->length))
		return rg_error_set(err, RGE_IO, "\"%s\" is not there, or cut off, on the source",
							rg_plan_path(chunk->plan, range->file));
	chunk->tally.transferred += merge.transferred;
	if (merge.transferred > 0)
		chunk->changed |= UINT64_C(1) << number;
	chunk->tally.bytes += merge.extent;
	chunk->tally.files += range->is_last && !merge.is_gone;
	chunk->tally.gone_files += range->is_last && merge.is_gone;
	if (merge.is_gone)
	{
		/* replay will not miss it: that it went is in the WAL */
		if (range->file->is_clone || range->file->is_presized)
			(void) unlinkat(target->new_fd, rg_plan_path(chunk->plan, range->file), 0);
		return 0;
	}
	/* nothing to write, unless it makes an empty file */
	if (merge.extent == 0 && !range->is_first && !range->file->is_clone && !range->file->is_presized)
		return 0;
	return write_range(chunk, range, buffer, target, &merge, err);
}

int
rg_chunk_finish(RgChunk *chunk, const RgTarget *target, RgError *err)
{
	RgCopyReader answer = {(const uint8_t *) PQgetvalue(chunk->answer, 0, 0),
	(size_t) PQgetlength(chunk->answer, 0, 0), false};
	uint8_t    *buffer = chunk->buffer;
	int			rc = 0;

	chunk->tally = (RgTally) {0};
	chunk->changed = 0;
	for (int i = 0; rc == 0 && i < chunk->range_count; i++)
	{
		rc = finish_range(chunk, i, buffer, &answer, target, err);
		buffer += chunk->ranges[i].length;
	}
	if (rc == 0 && answer.left > 0)
		rc = rg_error_set(err, RGE_FORMAT, "the source's answer is longer than agreed");
	chunk->tally.kept = chunk->tally.bytes - chunk->tally.transferred;
	return rc;
}
