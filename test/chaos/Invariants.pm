# Invariants.pm
#    What must hold after each round, out of what the clients were told, what the
#    nodes hold and what regentd says.
#
# Each function returns complaints; numbers go into the round's record.
package Invariants;

use strict;
use warnings;
use Guarantee;

# A frozen server may have been between its last check and the socket: then one
# acknowledgement leaves when it wakes (a window of microseconds, told in the
# documentation).  More than one for each freeze would be a hole.
my $WINDOW_S = 0.3;

# ---- I2, I3: acknowledgements of two nodes ----

# When each (term, node) certainly had acknowledged first.
sub reigns
{
	my ($acks) = @_;
	my %first;
	for my $a (@$acks)
	{
		my $f = \$first{ $a->{term} }{ $a->{node} };
		$$f = $a->{hi} if !defined $$f || $a->{hi} < $$f;
	}
	return \%first;
}

# The earliest moment at which another node had acknowledged in a later term.
sub deposed_at
{
	my ($reigns, $ack) = @_;
	my $at;
	for my $term (grep { $_ > $ack->{term} } keys %$reigns)
	{
		for my $node (grep { $_ ne $ack->{node} } keys %{ $reigns->{$term} })
		{
			my $t = $reigns->{$term}{$node};
			$at = $t if !defined $at || $t < $at;
		}
	}
	return $at;
}

# Was the path between this node and the load's clients disturbed meanwhile?
sub was_on_the_way
{
	my ($faults, $ack) = @_;
	return 0 if $ack->{source} ne 'load';
	# after a cut a lost packet is sent again only when its time has come
	return scalar grep { $_->{node} eq $ack->{node} && $_->{from} < $ack->{hi} && (!defined $_->{to} || $_->{to} + 3 > $ack->{sent}) } @{ $faults->{paths} };
}

# The freeze out of which this acknowledgement came, if any.
sub freeze_of
{
	my ($faults, $ack) = @_;
	my ($f) = grep { $_->{node} eq $ack->{node} && defined $_->{to} && $ack->{sent} < $_->{from} + 0.1 && $ack->{hi} >= $_->{to} && $ack->{hi} < $_->{to} + $WINDOW_S }
		@{ $faults->{still} };
	return $f;
}

sub words { my ($a) = @_; return sprintf '%s of %s by %s in term %d, sent %.3f, received %.3f to %.3f', join(',', @{ $a->{ids} }), $a->{label}, $a->{node}, $a->{term}, $a->{sent}, $a->{lo}, $a->{hi} }

sub one_writer
{
	my ($load, $faults, $r) = @_;
	my @bad;
	my $reigns = reigns($load->{acks});
	@{$r}{qw(split_acks late_acks delayed_acks window_acks)} = (0, 0, 0, 0);
	for my $term (sort { $a <=> $b } keys %$reigns)
	{
		my @nodes = sort keys %{ $reigns->{$term} };
		push @bad, "I2: @nodes acknowledged in the same term $term" if @nodes > 1;
		$r->{split_acks}++ if @nodes > 1;
	}
	my %windows;
	for my $a (@{ $load->{acks} })
	{
		my $at = deposed_at($reigns, $a) // next;
		if ($a->{sent} > $at)
		{
			$r->{split_acks}++;
			push @bad, sprintf('I2: asked and acknowledged after another node had (%.3f): %s', $at, words($a));
		}
		elsif ($a->{lo} > $at)
		{
			my $freeze = freeze_of($faults, $a);
			if (was_on_the_way($faults, $a)) { $r->{delayed_acks}++ }
			elsif ($freeze && !$windows{ $freeze->{node} }{ $freeze->{from} }++) { $r->{window_acks}++ }
			else
			{
				$r->{late_acks}++;
				push @bad, sprintf('I3: acknowledged after another node had (%.3f): %s', $at, words($a));
			}
		}
	}
	return @bad;
}

# ---- I1: rows ----

# there: ids on the leader; prepared: names of prepared transactions there; allowed:
# what no guarantee covers may be missing; periods: those of the guarantees.
sub nothing_lost
{
	my ($load, $there, $prepared, $r, %o) = @_;
	my (@lost, @bad, %loss_of);
	$r->{guaranteed} = 0;
	for my $a (@{ $load->{acks} })
	{
		my $is_safe = Guarantee::holds_for($a, @{ $o{periods} });
		$r->{guaranteed} += @{ $a->{ids} } if $is_safe;
		for my $id (grep { !$there->{$_} } @{ $a->{ids} })
		{
			push @lost, $id;
			$loss_of{"$a->{node} in term $a->{term}"}++;
			push @bad, 'I1: lost: ' . words($a) if $is_safe || !$o{allowed} || $a->{term} == $o{term};
			# what a failover may cost are the last moments, and these began with the fault
			push @bad, 'I1: lost, and old: ' . words($a) if $o{allowed} && $a->{hi} < $o{since} - 1;
		}
	}
	for my $p (@{ $load->{prepared} })
	{
		my $id = $p->{ids}[0];
		next if $there->{$id} || $prepared->{"chaos-$id"};
		push @lost, $id;
		push @bad, 'I1: neither prepared nor committed: ' . words($p) if !$o{allowed} || Guarantee::holds_for($p, @{ $o{periods} });
	}
	for my $f (@{ $load->{refused} })
	{
		push @bad, "I1: refused ($f->{sqlstate}), yet there: $f->{ids}[0] of $f->{label} by $f->{node}, kind $f->{kind}" if grep { $there->{$_} } @{ $f->{ids} };
	}
	my %unique = map { $_ => 1 } @lost;
	$r->{lost} = keys %unique;
	$r->{lost_by} = \%loss_of if @lost;
	return @bad;
}

# ---- numbers ----

# The longest time in which nobody who looks for the primary was served: what the
# load was told, and what anybody was told by a later leader.  (That a leader whom
# no client reaches still acknowledges over its unix socket serves nobody.)  While
# the clients are dead and no new ones have begun, nobody looks.
sub outage_ms
{
	my ($load, $since, $term) = @_;
	my ($last, $longest, $at) = ($since, 0, $since);
	my @served = map { [ $_->{hi}, $_->{hi} ] } grep { $_->{source} eq 'load' || $_->{term} > $term } @{ $load->{acks} };
	for my $span (sort { $a->[0] <=> $b->[0] } @served, map { [ $_->{from}, $_->{to} // 9**9**9 ] } @{ $load->{absences} })
	{
		my ($from, $to) = @$span;
		next if $to <= $since;
		($longest, $at) = ($from - $last, $last) if $from - $last > $longest;
		$last = $to if $to > $last;
	}
	return (int($longest * 1000), $at);
}

# From a moment until the first acknowledgement of a later leader.
sub resume_ms
{
	my ($load, $since, $term) = @_;
	my ($first) = sort { $a <=> $b } map { $_->{hi} } grep { $_->{term} > $term && $_->{hi} > $since } @{ $load->{acks} };
	return defined $first ? int(($first - $since) * 1000) : undef;
}

sub counts
{
	my ($load, $r) = @_;
	$r->{acked} = scalar map { @{ $_->{ids} } } @{ $load->{acks} };
	$r->{prepared} = scalar @{ $load->{prepared} };
	$r->{unknown} = scalar @{ $load->{unknown} };
	my %refused;
	$refused{ $_->{sqlstate} }++ for @{ $load->{refused} };
	$r->{refused} = \%refused;
	my %by;
	$by{"$_->{node}/$_->{term}"}++ for @{ $load->{acks} };
	$r->{acked_by} = \%by;
}

# ---- I8: records ----

sub explained
{
	my ($events, $moved) = @_;
	my @bad = map { "I8: event $_->{event} says nothing" } grep { ($_->{message} // '') eq '' } @$events;
	my %count;
	$count{ $_->{event} }++ for @$events;
	push @bad, 'I8: the leader changed and no event says why' if $moved && !grep { $count{$_} } qw(failover_begin switchover_begin takeover);
	push @bad, 'I8: the leader changed and no event says that it did' if $moved && !grep { $count{$_} } qw(promoted failover_end switchover_end);
	return @bad;
}

1;
