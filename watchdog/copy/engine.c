/*
 * engine.c
 *	  The pipeline of a copy.
 *
 * Each chunk goes round: free -> to read -> (worker) -> to ask -> asked ->
 * to write -> (worker) -> free.  The number of chunks bounds memory and what is under way
 * at the source.  Only the calling thread touches libpq; a worker
 * wakes it through an eventfd.
 */
#include "copy/engine.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "copy/chunk.h"

#define CHUNKS 16
#define WORKERS 6
#define WRITERS 4				/* of them at a time, so that the source never waits for the disk here */
#define PRESIZE_MIN (1024 * 1024)
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23	/* Linux 5.14 */
#endif
#define ALIGNMENT (2 * 1024 * 1024)	/* of a huge page: the kernel pins one, not 512, for a direct write */

typedef enum ChunkState
{
	CHUNK_FREE,
	CHUNK_TO_READ,
	CHUNK_TO_ASK,
	CHUNK_ASKED,
	CHUNK_TO_WRITE,
	CHUNK_WORKING
} ChunkState;

struct RgEngine
{
	RgSource   *source;
	RgTarget   *target;
	RgRate	   *rate;
	uint64_t	seed;
	RgEngineProgress progress;
	void	   *progress_arg;
	int			wake_fd;
	int			worker_count;
	pthread_t	workers[WORKERS];
	RgChunk    *chunks;
	int			chunk_count;	/* of them that are used */
	uint8_t    *buffers;		/* of all chunks */
	int			asked[CHUNKS];	/* in the order of their answers */
	int			asked_first;
	int			asked_count;

	/* under the mutex */
	pthread_mutex_t mutex;
	pthread_cond_t work;
	ChunkState	states[CHUNKS];
	int			writers;
	int			populated;		/* chunks whose buffer has its memory */
	bool		is_ending;
	int			rc;				/* of the worker that failed first */
	RgError		err;
	RgTally		tally;
	uint64_t	done;			/* bytes of all plans */
};

/* ------------------------------------------------ workers */

/* A chunk in that state, or -1. */
static int
find_chunk(const RgEngine *engine, ChunkState state)
{
	for (int i = 0; i < engine->chunk_count; i++)
		if (engine->states[i] == state)
			return i;
	return -1;
}

/* A file is counted as changed once, in whichever of its chunks. */
static void
count(RgEngine *engine, const RgChunk *chunk)
{
	rg_tally_add(&engine->tally, &chunk->tally);
	engine->done += rg_chunk_length(chunk);
	for (int i = 0; i < chunk->range_count; i++)
		if ((chunk->changed >> i & 1) != 0 && !chunk->ranges[i].file->is_changed)
		{
			chunk->ranges[i].file->is_changed = true;
			engine->tally.changed_files++;
		}
}

/* Does one piece of work, with the mutex released meanwhile. */
static void
work_on(RgEngine *engine, int number, bool writes)
{
	RgChunk    *chunk = &engine->chunks[number];
	RgError		err = {0};
	int			rc;

	engine->states[number] = CHUNK_WORKING;
	engine->writers += writes;
	(void) pthread_mutex_unlock(&engine->mutex);
	rc = writes ? rg_chunk_finish(chunk, engine->target, &err) : rg_chunk_prepare(chunk, engine->target, &err);
	if (writes)
	{
		PQclear(chunk->answer);
		chunk->answer = NULL;
	}
	(void) pthread_mutex_lock(&engine->mutex);
	engine->writers -= writes;
	if (rc != 0 && engine->rc == 0)
	{
		engine->rc = rc;
		engine->err = err;
	}
	if (rc == 0 && writes)
		count(engine, chunk);
	engine->states[number] = writes ? CHUNK_FREE : CHUNK_TO_ASK;
	(void) eventfd_write(engine->wake_fd, 1);
}

/*
 * Memory is had and cleared while the source makes its checkpoint, not when the
 * first blocks are read into it.  Where the kernel can't do that, it is had later.
 */
static void
populate_buffers(RgEngine *engine)
{
	while (engine->populated < engine->chunk_count)
	{
		RgChunk    *chunk = &engine->chunks[engine->populated++];

		(void) pthread_mutex_unlock(&engine->mutex);
		(void) madvise(chunk->buffer, RG_PLAN_REQUEST_MAX, MADV_POPULATE_WRITE);
		(void) pthread_mutex_lock(&engine->mutex);
	}
}

/* Writing comes first: it makes room.  But the source must not run out of requests meanwhile. */
static void *
worker_main(void *arg)
{
	RgEngine   *engine = arg;

	(void) pthread_mutex_lock(&engine->mutex);
	populate_buffers(engine);
	while (!engine->is_ending)
	{
		int			number = engine->writers < WRITERS ? find_chunk(engine, CHUNK_TO_WRITE) : -1;
		bool		writes = number >= 0;

		if (!writes)
			number = find_chunk(engine, CHUNK_TO_READ);
		if (number >= 0)
			work_on(engine, number, writes);
		else
			(void) pthread_cond_wait(&engine->work, &engine->mutex);
	}
	(void) pthread_mutex_unlock(&engine->mutex);
	return NULL;
}

/* ------------------------------------------------ its life */

/*
 * What is under way has to be waited for before the source can be asked anything else:
 * no more than the rate lets through in two seconds.
 */
static int
count_chunks(const RgRate *rate)
{
	uint64_t	count = 2 * rate->per_second / RG_PLAN_REQUEST_MAX;

	if (rate->per_second == 0 || count > CHUNKS)
		return CHUNKS;
	return count > 2 ? (int) count : 2;
}

/* More than one processor could use: most of the time they wait for a disk. */
static void
start_workers(RgEngine *engine)
{
	for (int i = 0; i < WORKERS; i++)
		if (pthread_create(&engine->workers[engine->worker_count], NULL, worker_main, engine) == 0)
			engine->worker_count++;
}

RgEngine *
rg_engine_new(RgSource *source, RgTarget *target, RgRate *rate, uint64_t seed)
{
	RgEngine   *engine = calloc(1, sizeof(RgEngine));

	if (engine == NULL)
		return NULL;
	engine->source = source;
	engine->target = target;
	engine->rate = rate;
	engine->seed = seed;
	engine->chunk_count = count_chunks(rate);
	engine->chunks = calloc(CHUNKS, sizeof(RgChunk));
	engine->buffers = aligned_alloc(ALIGNMENT, CHUNKS * RG_PLAN_REQUEST_MAX);
	if (engine->buffers != NULL)
		(void) madvise(engine->buffers, CHUNKS * RG_PLAN_REQUEST_MAX, MADV_HUGEPAGE);
	for (int i = 0; engine->chunks != NULL && i < CHUNKS; i++)
		engine->chunks[i].buffer = engine->buffers + i * RG_PLAN_REQUEST_MAX;
	engine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	(void) pthread_mutex_init(&engine->mutex, NULL);
	(void) pthread_cond_init(&engine->work, NULL);
	if (engine->chunks != NULL && engine->buffers != NULL && engine->wake_fd >= 0)
		start_workers(engine);
	if (engine->worker_count == 0)
	{
		rg_engine_free(engine);
		return NULL;
	}
	return engine;
}

static void
stop_workers(RgEngine *engine)
{
	(void) pthread_mutex_lock(&engine->mutex);
	engine->is_ending = true;
	(void) pthread_cond_broadcast(&engine->work);
	(void) pthread_mutex_unlock(&engine->mutex);
	for (int i = 0; i < engine->worker_count; i++)
		(void) pthread_join(engine->workers[i], NULL);
	engine->worker_count = 0;
}

void
rg_engine_free(RgEngine *engine)
{
	if (engine == NULL)
		return;
	stop_workers(engine);
	for (int i = 0; engine->chunks != NULL && i < CHUNKS; i++)
		PQclear(engine->chunks[i].answer);
	if (engine->wake_fd >= 0)
		(void) close(engine->wake_fd);
	(void) pthread_mutex_destroy(&engine->mutex);
	(void) pthread_cond_destroy(&engine->work);
	free(engine->chunks);
	free(engine->buffers);
	free(engine);
}

void
rg_engine_on_progress(RgEngine *engine, RgEngineProgress progress, void *arg)
{
	engine->progress = progress;
	engine->progress_arg = arg;
}

/* ------------------------------------------------ the calling thread */

/* A run: what rg_engine_run was called with. */
typedef struct Run
{
	RgPlan	   *plan;
	bool		uses_old;
	uint64_t	start_lsn;
	int64_t		until_us;
	bool		is_planned;		/* nothing is left to plan, or the time is over */
} Run;

/* As a clone of the old file; else, if it is long, with all its blocks at once. */
static void
begin_file(RgTarget *target, const RgPlan *plan, RgPlanFile *file)
{
	const char *path = rg_plan_path(plan, file);

	if (file->size == 0)
		return;
	file->is_clone = rg_target_clone(target, path, &file->written_ns);
	if (!file->is_clone && file->size >= PRESIZE_MIN)
		file->is_presized = rg_target_presize(target, path, file->size);
}

/* Cuts the next request off into a free chunk. */
static bool
fill_chunk(RgEngine *engine, int number, Run *run)
{
	RgChunk    *chunk = &engine->chunks[number];

	chunk->range_count = rg_plan_next(run->plan, chunk->ranges);
	if (chunk->range_count == 0)
		return false;
	chunk->plan = run->plan;
	chunk->uses_old = run->uses_old;
	chunk->seed = engine->seed;
	chunk->start_lsn = run->start_lsn;
	for (int i = 0; run->uses_old && i < chunk->range_count; i++)
		if (chunk->ranges[i].is_first)
			begin_file(engine->target, run->plan, chunk->ranges[i].file);
	return true;
}

/* Gives the workers something to read, as far as there are free chunks. */
static void
plan_chunks(RgEngine *engine, Run *run)
{
	int			number;

	if (run->until_us != 0 && rg_clock_now_us() >= run->until_us)
		run->is_planned = true;
	while (!run->is_planned && (number = find_chunk(engine, CHUNK_FREE)) >= 0)
	{
		if (fill_chunk(engine, number, run))
		{
			engine->states[number] = CHUNK_TO_READ;
			(void) pthread_cond_signal(&engine->work);
		}
		else
			run->is_planned = true;
	}
}

/* Sends what was read, as far as the rate allows. */
static int
ask_chunks(RgEngine *engine, RgError *err)
{
	int			number;

	while ((number = find_chunk(engine, CHUNK_TO_ASK)) >= 0)
	{
		RgChunk    *chunk = &engine->chunks[number];
		int64_t		now = rg_clock_now_us();
		int			rc;

		if (rg_rate_wait(engine->rate, now) > 0)
			return 0;
		rg_rate_take(engine->rate, rg_chunk_length(chunk), now);
		rc = rg_source_ask(engine->source, chunk->request, chunk->request_length, err);
		if (rc != 0)
			return rc;
		engine->states[number] = CHUNK_ASKED;
		engine->asked[(engine->asked_first + engine->asked_count++) % CHUNKS] = number;
	}
	return 0;
}

static int
take_answers(RgEngine *engine, RgError *err)
{
	while (true)
	{
		PGresult   *answer = NULL;
		int			rc = rg_source_answer(engine->source, &answer, err);
		int			number;

		if (rc != 0 || answer == NULL)
			return rc;
		if (engine->asked_count == 0 || PQntuples(answer) != 1)
		{
			PQclear(answer);
			return rg_error_set(err, RGE_FORMAT, "the source answers what was not asked");
		}
		number = engine->asked[engine->asked_first];
		engine->asked_first = (engine->asked_first + 1) % CHUNKS;
		engine->asked_count--;
		engine->chunks[number].answer = answer;
		(void) pthread_mutex_lock(&engine->mutex);
		engine->states[number] = CHUNK_TO_WRITE;
		(void) pthread_cond_signal(&engine->work);
		(void) pthread_mutex_unlock(&engine->mutex);
	}
}

/* Until a worker or the source has something, or the rate allows more. */
static void
wait_for_more(RgEngine *engine)
{
	int64_t		wait_us = rg_rate_wait(engine->rate, rg_clock_now_us());
	int			timeout = wait_us > 0 && wait_us < 500000 ? (int) (wait_us / 1000) + 1 : 500;
	struct pollfd fds[] = {
		{engine->wake_fd, POLLIN, 0},
		{PQsocket(engine->source->conn), POLLIN, 0},
	};
	eventfd_t	ignored;

	/* what the socket did not take is sent when an answer has made room, or in a moment */
	if (PQflush(engine->source->conn) > 0)
		fds[1].events |= POLLOUT;
	(void) poll(fds, 2, timeout);
	(void) eventfd_read(engine->wake_fd, &ignored);
}

/* One turn; *ret_done when all chunks are free and nothing is left to plan. */
static int
turn(RgEngine *engine, Run *run, bool *ret_done, RgError *err)
{
	int			rc;

	(void) pthread_mutex_lock(&engine->mutex);
	rc = engine->rc;
	if (rc != 0 && err != NULL)
		*err = engine->err;
	if (rc == 0)
		plan_chunks(engine, run);
	if (rc == 0)
		rc = ask_chunks(engine, err);
	*ret_done = run->is_planned;
	for (int i = 0; i < engine->chunk_count; i++)
		*ret_done = *ret_done && engine->states[i] == CHUNK_FREE;
	(void) pthread_mutex_unlock(&engine->mutex);
	return rc != 0 || *ret_done ? rc : take_answers(engine, err);
}

int
rg_engine_run(RgEngine *engine, RgPlan *plan, bool uses_old, uint64_t start_lsn, int64_t until_us,
			  RgTally *tally, RgError *err)
{
	Run			run = {.plan = plan, .uses_old = uses_old, .start_lsn = start_lsn, .until_us = until_us};
	bool		is_done = false;
	int			rc = rg_source_begin(engine->source, err);

	while (rc == 0)
	{
		rc = turn(engine, &run, &is_done, err);
		if (rc != 0 || is_done)
			break;
		if (engine->progress != NULL)
			engine->progress(engine->progress_arg, engine->done);
		wait_for_more(engine);
	}
	if (rc == 0)
		rc = rg_source_end(engine->source, err);
	if (rc != 0)
		stop_workers(engine);	/* the plan that they may be at work on is the caller's */
	else
	{
		rg_tally_add(tally, &engine->tally);
		engine->tally = (RgTally) {0};
	}
	return rc;
}

uint64_t
rg_engine_done(const RgEngine *engine)
{
	return engine->done;
}
