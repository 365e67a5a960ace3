/*
 * plan.c
 *	  A list of files, cut into requests.
 *
 * A request holds one range of a big file or many small files, so that neither
 * costs a round trip of its own.  Ranges begin at a block; the last one of a file
 * that may have grown reaches a block further than the list says: a state file
 * that was replaced by a longer one meanwhile is copied whole.  The blocks that a relation
 * has won since are in the WAL.
 */
#include "copy/plan.h"

#include <stdlib.h>
#include <string.h>

#include "extension/copywire.h"

/* Room for one more of size bytes; grows by doubling up to max. */
static int
make_room(void **array, size_t *room, size_t needed, size_t max, size_t size)
{
	size_t		bigger = *room > 0 ? *room : 1024;
	void	   *grown;

	if (needed <= *room)
		return 0;
	if (needed > max)
		return RGE_LIMIT;
	while (bigger < needed)
		bigger *= 2;
	grown = realloc(*array, bigger * size);
	if (grown == NULL)
		return RGE_NOMEM;
	*array = grown;
	*room = bigger;
	return 0;
}

bool
rg_plan_path_is_good(const char *path)
{
	size_t		length = strlen(path);

	if (length == 0 || length > RG_COPY_PATH_MAX || path[0] == '/')
		return false;
	for (const char *at = path; at != NULL; at = strchr(at, '/'))
	{
		if (*at == '/')
			at++;
		if (*at == '/' || *at == '\0' || strcmp(at, "..") == 0 || strncmp(at, "../", 3) == 0)
			return false;
	}
	return true;
}

int
rg_plan_add(RgPlan *plan, const char *path, RgFileKind kind, uint64_t size, RgError *err)
{
	size_t		length = strlen(path) + 1;
	RgPlanFile *file;
	int			rc;

	if (!rg_plan_path_is_good(path) || size > INT64_MAX / 4)
		return rg_error_set(err, RGE_FORMAT, "the source lists a file \"%.200s\" that can't be copied", path);
	rc = make_room((void **) &plan->files, &plan->file_room, plan->file_count + 1, RG_PLAN_FILES_MAX,
				   sizeof(RgPlanFile));
	if (rc == 0)
		rc = make_room((void **) &plan->paths, &plan->paths_room, plan->paths_length + length,
					   RG_PLAN_PATHS_MAX, 1);
	if (rc != 0)
		return rg_error_set(err, rc == RGE_LIMIT ? RGE_STATE : rc, "the source has too many files for a delta copy");
	file = &plan->files[plan->file_count++];
	*file = (RgPlanFile) {.size = size, .path_at = (uint32_t) plan->paths_length, .kind = (uint8_t) kind};
	memcpy(plan->paths + plan->paths_length, path, length);
	plan->paths_length += length;
	plan->bytes += size;
	return 0;
}

const char *
rg_plan_path(const RgPlan *plan, const RgPlanFile *file)
{
	return plan->paths + file->path_at;
}

/* How far a file is asked for. */
static uint64_t
asked_size(const RgPlanFile *file)
{
	uint64_t	whole = (file->size + RG_COPY_BLOCK - 1) / RG_COPY_BLOCK * RG_COPY_BLOCK;

	switch ((RgFileKind) file->kind)
	{
		case RG_FILE_OTHER:
			return whole + RG_COPY_BLOCK;
		case RG_FILE_RELATION:
			return whole;
		case RG_FILE_FIXED:
			break;
	}
	return file->size;
}

int
rg_plan_next(RgPlan *plan, RgRange *ret_ranges)
{
	uint64_t	room = RG_PLAN_REQUEST_MAX;
	int			count = 0;

	while (plan->next_file < plan->file_count && count < RG_PLAN_RANGES_MAX && room > 0)
	{
		RgPlanFile *file = &plan->files[plan->next_file];
		uint64_t	left = asked_size(file) - plan->next_offset;
		RgRange    *range = &ret_ranges[count++];

		*range = (RgRange) {.file = file, .offset = plan->next_offset,
			.length = (uint32_t) (left < room ? left : room),
			.is_first = plan->next_offset == 0, .is_last = left <= room};
		room -= range->length;
		plan->next_offset += range->length;
		if (range->is_last)
		{
			plan->next_file++;
			plan->next_offset = 0;
		}
	}
	return count;
}

bool
rg_plan_is_done(const RgPlan *plan)
{
	return plan->next_file == plan->file_count;
}

void
rg_plan_clear(RgPlan *plan)
{
	free(plan->files);
	free(plan->paths);
	*plan = (RgPlan) {0};
}
