/*
 * ssh_words.h
 *	  From words to the one string that SSH sends.
 */
#ifndef RG_SSH_WORDS_H
#define RG_SSH_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Joins a NULL-terminated list by single spaces.  False, with a reason in err, when a word
 * is empty or has a character other than [A-Za-z0-9_./:=@,+-], or when all of it is
 * empty or does not fit.
 */
extern bool rg_ssh_words_join(const char *const *words, char *buf, size_t size, char *err, size_t errsize);

#endif							/* RG_SSH_WORDS_H */
