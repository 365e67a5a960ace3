# guarantee.t
#    Which rows may not be lost: the judge of a round is judged.
use strict;
use warnings;
use Test::More;
use Guarantee;
use Invariants;

sub set { my ($value, $typed, $ended, %o) = @_; return { args => [ 'set', 'durability', $value, @{ $o{more} || [] } ], typed => $typed, ended => $ended, rc => $o{rc} // 0, term => 5, term_ended => $o{term_ended} // 5 } }
sub ack { my ($sent, $hi, $term) = @_; return { ids => [1], label => 'x', node => 'n1', sent => $sent, lo => $sent, hi => $hi, term => $term // 5 } }
sub safe { my ($base, $orders, @ack) = @_; return Guarantee::holds_for(ack(@ack), Guarantee::periods($base, @$orders)) ? 1 : 0 }

is(safe('async', [], 1, 2), 0, 'async: nothing is promised');
is(safe('sync', [], 1, 2), 1, 'sync: everything is');
is(safe('strict', [], 1, 2), 1, 'strict, too');

my $up = [ set('sync', 10, 11) ];
is(safe('async', $up, 11.1, 11.2), 1, 'acknowledged after success');
is(safe('async', $up, 9, 9.5), 1, 'acknowledged before it, in the same term');
is(safe('async', $up, 9, 9.5, 4), 0, 'but not in an earlier one');
is(safe('async', [ set('sync', 10, 11, term_ended => 6) ], 9, 9.5), 0, 'nor when the term changed meanwhile');
is(safe('async', [ set('sync', 10, 11, rc => 1) ], 11.1, 11.2), 0, 'a change that failed promises nothing');
is(safe('async', [ set('sync', 10, 11, more => ['--no-wait']) ], 11.1, 11.2), 0, 'nor does one that was only asked for');

my $down = [ set('async', 10, 11) ];
is(safe('sync', $down, 9, 9.9), 1, 'acknowledged before async was typed');
is(safe('sync', $down, 9.9, 10.1), 0, 'under way when it was typed');
is(safe('sync', $down, 12, 13), 0, 'acknowledged after it');
is(safe('sync', [ set('async', 10, 11, rc => 1) ], 12, 13), 0, 'also when nobody knows whether it was taken');

my $both = [ set('async', 10, 11), set('strict', 12, 13) ];
is(safe('sync', $both, 11.5, 11.6, 4), 0, 'between the two');
is(safe('sync', $both, 13.1, 13.2), 1, 'after the second one');
is(safe('sync', [ set('async', 10, 12.5), set('strict', 12, 13) ], 13.1, 13.2), 0, 'a change to async that was still on its way may overtake');
is(safe('async', [ set('sync', 10, 13), set('async', 12, 14) ], 13.1, 13.2), 0, 'async typed before sync had returned');

# what the judge of rows makes of it
sub judged
{
	my ($orders, $ack, %o) = @_;
	my %r;
	return scalar(() = Invariants::nothing_lost({ acks => [$ack], prepared => [], refused => [] }, {}, {}, \%r, term => 7, since => 0, periods => [ Guarantee::periods('async', @$orders) ], %o));
}
is(judged([], ack(11.1, 11.2), allowed => 1), 0, 'async: a row lost in a failover is measured');
is(judged([], ack(11.1, 11.2), allowed => 0), 1, 'without one it is a complaint');
is(judged($up, ack(11.1, 11.2), allowed => 1), 1, 'and a guaranteed one always is');

# and how long nobody was served
sub outage { my ($acks, @absences) = @_; return (Invariants::outage_ms({ acks => [ map { { hi => $_, source => 'load', term => 5 } } @$acks ], absences => [@absences] }, 10, 5))[0] }
is(outage([ 9, 11, 14, 14.5 ]), 3000, 'the longest time between two acknowledgements');
is(outage([ 12, 12.5 ]), 2000, 'or from the fault to the first one');
is(outage([ 11, 14, 14.5 ], { from => 11.5, to => 13.25 }), 1000, 'without that in which there was no client');
is(outage([ 11, 15 ], { from => 11.5, to => 12 }, { from => 12, to => 12.75 }), 2250, 'it begins when one is there again');
is(outage([ 11, 14 ], { from => 11.25 }), 1000, 'and never, where none comes');
done_testing();
