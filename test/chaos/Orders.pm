# Orders.pm
#    What people ask regentd for in the middle of it all: a switchover, another
#    durability, a node more or less, a rebuild, and that a rebuild ends.
#
# Like a fault, an order is given and not waited for.  The command runs beside the
# test, outside of all hosts: the control socket is a file.  When it was typed, when it
# ended and what it said is kept, for Guarantee.pm and for what it promised.
package Orders;

use strict;
use warnings;
use JSON::PP ();
use RegentCluster qw(slurp);

# new(cluster, load)
sub new
{
	my ($class, %o) = @_;
	return bless { %o, all => [], number => 0 }, $class;
}

sub begin { my ($self) = @_; $self->{all} = [] }

sub all { my ($self) = @_; return @{ $self->{all} } }

sub under_way { my ($self) = @_; return grep { !defined $_->{ended} } @{ $self->{all} } }

sub words { my ($o) = @_; return "regent @{ $o->{args} }" }

# The term in which clients were acknowledged last.
sub term { my ($self) = @_; return ($self->{load}{last_ack} || {})->{term} // 0 }

# Gives an order; the record of it.
sub give
{
	my ($self, @args) = @_;
	my $c = $self->{cluster};
	my $file = $c->host('c')->dir . '/order-' . ++$self->{number} . '.txt';
	my $o = { args => [@args], file => $file, typed => Util::now(), term => $self->term };
	my @cmd = $c->regent_words(@args);
	my $pid = fork() // die "can't fork: $!";
	if ($pid == 0)
	{
		setpgrp(0, 0);
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>', $file);
		open(STDERR, '>&', \*STDOUT);
		exec(@cmd) or POSIX::_exit(127);
	}
	$o->{pid} = $pid;
	push @{ $self->{all} }, $o;
	return $o;
}

# Collects those that have ended.
sub tick
{
	my ($self) = @_;
	for my $o ($self->under_way)
	{
		next if waitpid($o->{pid}, POSIX::WNOHANG()) == 0;
		$self->end($o, $? & 127 ? 128 + ($? & 127) : $? >> 8);
	}
}

sub end
{
	my ($self, $o, $rc) = @_;
	my $text = slurp($o->{file}) // '';
	unlink $o->{file};
	@{$o}{qw(ended rc text)} = (Util::now(), $rc, $text);
	# by now, and so perhaps later than what the command has seen
	$o->{term_ended} = ($self->{cluster}->status || {})->{term} if $rc == 0 && $o->{args}[0] eq 'set';
}

# Waits for one that was given; its exit status, 124 past the bound.
sub wait_for
{
	my ($self, $o, $bound, $meanwhile) = @_;
	my $until = Util::now() + $bound;
	while (!defined $o->{ended})
	{
		$meanwhile->();
		$self->tick;
		next if Util::now() < $until;
		kill('KILL', $o->{pid});
		waitpid($o->{pid}, 0);
		$self->end($o, 124);
	}
	return $o->{rc};
}

# The number of the newest rebuild of a node, as its order or regentd has said; undef: none is known.
sub job_of
{
	my ($self, $node, $status) = @_;
	my ($job) = sort { $b->{id} <=> $a->{id} } grep { $_->{node} eq $node && $_->{kind} eq 'rebuild' } @{ ($status || {})->{jobs} || [] };
	return $job->{id} if $job;
	for my $o (reverse grep { $_->{args}[0] eq 'rebuild' && $_->{args}[1] eq $node } @{ $self->{all} })
	{
		return $1 if ($o->{text} // '') =~ /^job (\d+):/m;
	}
	return undef;
}

# ---- what must hold of them ----

# Each has ended, and one that failed has said why.
sub complaints
{
	my ($self, $must_succeed) = @_;
	my @bad = map { 'I7: has not ended: ' . words($_) } $self->under_way;
	for my $o (grep { defined $_->{ended} && $_->{rc} != 0 } @{ $self->{all} })
	{
		(my $text = $o->{text}) =~ s/\s*\n\s*/ | /g;
		push @bad, "I8: failed and says nothing (status $o->{rc}): " . words($o) if $text !~ /error: \S/;
		push @bad, "refused or failed: " . words($o) . ": $text" if $must_succeed;
	}
	return @bad;
}

# What was asked for last, and taken, is what there is now.
sub is_obeyed
{
	my ($self, $status) = @_;
	my %last;
	$last{ $_->{args}[1] } = $_ for grep { $_->{args}[0] eq 'set' } @{ $self->{all} };
	for my $what (grep { ($last{$_}{rc} // 1) == 0 } sort keys %last)
	{
		my $value = $last{$what}{args}[2];
		return 'I7: ' . words($last{$what}) . " was taken, yet it is $status->{$what}" if $status->{$what} ne $value && $status->{wanted}{$what} ne $value;
	}
	return "I7: $status->{wanted}{durability} is wanted, yet it is $status->{durability}" if $status->{wanted}{durability} ne $status->{durability};
	return ();
}

# For the results.
sub record
{
	my ($self, $zero) = @_;
	return [ map { { typed => sprintf('%.3f', $_->{typed} - $zero), took_ms => defined $_->{ended} ? int(1000 * ($_->{ended} - $_->{typed})) : undef,
				order => words($_), status => $_->{rc}, said => substr($_->{text} // '', -600) } } @{ $self->{all} } ];
}

1;
