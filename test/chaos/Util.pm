# Util.pm
#    The clock of the test, and what it says.
package Util;

use strict;
use warnings;
use POSIX ();
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

$| = 1;

# Seconds; the same clock that the clients write down.
sub now { return clock_gettime(CLOCK_MONOTONIC) }

sub note { print POSIX::strftime('%H:%M:%S ', localtime), @_, "\n" }

sub median
{
	my @v = sort { $a <=> $b } @_;
	return undef unless @v;
	return @v % 2 ? $v[ $#v / 2 ] : ($v[ $#v / 2 ] + $v[ $#v / 2 + 1 ]) / 2;
}

1;
