/*
 * err.h
 *	  What went wrong, to which node, why, and what to type next.
 *
 * A function that can fail returns 0 or a negative RGE_* code and fills an
 * RgError where the fault happened; the caller that gives up logs it once.
 * Outputs of a failed function are untouched.  Messages follow PostgreSQL's
 * Error Message Style Guide: a short lower-case message without a full stop;
 * detail and hint are sentences.
 */
#ifndef RG_ERR_H
#define RG_ERR_H

typedef enum RgErrorCode
{
	RGE_OK = 0,
	RGE_ARGUMENT = -1,			/* the caller's or the user's input is wrong */
	RGE_NOMEM = -2,
	RGE_IO = -3,				/* a file or socket could not be used */
	RGE_TIMEOUT = -4,			/* a deadline passed */
	RGE_REFUSED = -5,			/* the other side said no */
	RGE_FORMAT = -6,			/* an answer or a file has another form than agreed */
	RGE_LIMIT = -7,				/* a maximum was reached */
	RGE_STATE = -8,				/* not possible in the present state */
	RGE_TRUST = -9				/* host key, file mode, identity */
} RgErrorCode;

typedef struct RgError
{
	RgErrorCode code;
	char		message[256];
	char		detail[512];
	char		hint[512];
} RgError;

/* Sets code and message, clears detail and hint; returns code.  err may be NULL. */
extern int	rg_error_set(RgError *err, RgErrorCode code, const char *fmt,...)
			__attribute__((format(printf, 3, 4)));

/* Add a detail or a hint to an error that was set.  err may be NULL. */
extern void rg_error_detail(RgError *err, const char *fmt,...)
			__attribute__((format(printf, 2, 3)));
extern void rg_error_hint(RgError *err, const char *fmt,...)
			__attribute__((format(printf, 2, 3)));

extern void rg_error_clear(RgError *err);

#endif							/* RG_ERR_H */
