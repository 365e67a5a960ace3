# Guarantee.pm
#    Which acknowledged rows may not be lost, where the durability was changed meanwhile.
#
# In sync and strict nothing that was acknowledged may be lost, whatever the
# durability is later.  What a row was worth when it was acknowledged is told by the
# orders, not by what regentd believes: a guarantee holds from the moment at which
# `regent set durability sync` (or strict) has returned with success until the moment
# at which a change to async is typed.  In between it was acknowledged for certain by
# the rule that counts; what lies in neither is measured only.
#
# One thing more is promised: "in force" means that standbys have flushed the rule
# that asks for a count, and so all WAL before it.  Rows of the same term that were
# acknowledged before, in async, are safe from there on, too.
package Guarantee;

use strict;
use warnings;

my $EVER = 1e12;

# Periods {from, to, term}: base is the durability at the beginning of the round.  A
# term stands for all its acknowledgements before the end of the period.
sub periods
{
	my ($base, @orders) = @_;
	my @sets = sort { $a->{typed} <=> $b->{typed} } grep { $_->{args}[0] eq 'set' && $_->{args}[1] eq 'durability' } @orders;
	my @changes;
	for my $o (@sets)
	{
		my $is_async = $o->{args}[2] eq 'async';
		push @changes, { at => $o->{typed}, async => 1, order => $o } if $is_async;
		push @changes, { at => $o->{ended}, async => 0, order => $o } if !$is_async && waited($o) && defined $o->{ended} && $o->{rc} == 0;
	}
	my @periods = $base eq 'async' ? () : ({ from => -$EVER, to => $EVER });
	for my $change (sort { $a->{at} <=> $b->{at} } @changes)
	{
		my $open = @periods && $periods[-1]{to} == $EVER;
		if ($change->{async}) { $periods[-1]{to} = $change->{at} if $open }
		elsif (!$open && !may_be_async($change->{order}, @sets))
		{
			my $o = $change->{order};
			my $same = defined $o->{term_ended} && $o->{term_ended} == $o->{term};
			push @periods, { from => $change->{at}, to => $EVER, $same ? (term => $o->{term}) : () };
		}
	}
	return @periods;
}

# Success means that it is in force.
sub waited { my ($o) = @_; return !grep { $_ eq '--no-wait' } @{ $o->{args} } }

# A change to async that was typed later, or of which nobody knows whether it is still
# on its way, may overtake this one.
sub may_be_async
{
	my ($order, @sets) = @_;
	return scalar grep { $_->{args}[2] eq 'async' && $_->{typed} < $order->{ended} && ($_->{typed} > $order->{typed} || !defined $_->{ended} || $_->{ended} > $order->{typed} || $_->{rc} != 0) } @sets;
}

# Was this acknowledged (or prepared) under a guarantee?
sub holds_for
{
	my ($ack, @periods) = @_;
	return scalar grep { $ack->{hi} <= $_->{to} && ($ack->{sent} >= $_->{from} || (defined $_->{term} && $_->{term} == $ack->{term})) } @periods;
}

1;
