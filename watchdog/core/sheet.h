/*
 * sheet.h
 *	  Text that grows in a buffer of the caller, cut where it is full.
 */
#ifndef RG_SHEET_H
#define RG_SHEET_H

typedef struct RgSheet
{
	char	   *buf;
	unsigned long size;
	unsigned long len;			/* without the NUL */
} RgSheet;

extern void rg_sheet_add(RgSheet *sheet, const char *fmt,...) __attribute__((format(printf, 2, 3)));

#endif							/* RG_SHEET_H */
